output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.media.id
}

output "bucket_arn" {
  description = "The bucket."
  value       = aws_s3_bucket.media.arn
}
