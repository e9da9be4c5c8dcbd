output "repository_url" {
  description = "What the image's name begins with."
  value       = aws_ecr_repository.this.repository_url
}
