# One private bucket: sources under in/, outputs under out/, parts of unfinished videos under out/work/.
resource "aws_s3_bucket" "media" {
  #checkov:skip=CKV_AWS_18:who reads which video is told by the account's trail of data events, where one is wanted
  #checkov:skip=CKV_AWS_21:with versions every deleted part would be kept and paid for; a render can be made again
  #checkov:skip=CKV_AWS_144:videos are large and can be rendered again; a copy in another region would cost more
  #checkov:skip=CKV2_AWS_62:nothing waits for events of this bucket
  bucket_prefix = "${var.name}-media-"
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "media" {
  bucket                  = aws_s3_bucket.media.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "media" {
  bucket = aws_s3_bucket.media.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "media" {
  bucket = aws_s3_bucket.media.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "media" {
  bucket = aws_s3_bucket.media.id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  # A run removes its parts itself; what a run leaves that nobody resumes goes after this.
  rule {
    id     = "parts"
    status = "Enabled"
    filter {
      prefix = "${var.output_prefix}work/"
    }
    expiration {
      days = var.parts_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
}

# Nothing over http, whoever asks.
resource "aws_s3_bucket_policy" "media" {
  bucket = aws_s3_bucket.media.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyEncryptedConnections"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.media.arn, "${aws_s3_bucket.media.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
  depends_on = [aws_s3_bucket_public_access_block.media]
}
