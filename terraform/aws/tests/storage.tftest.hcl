mock_provider "aws" {}

variables {
  name          = "test"
  kms_key_arn   = "arn:aws:kms:eu-west-1:000000000000:key/k"
  output_prefix = "out/"
  parts_days    = 7
  force_destroy = false
}

run "videos_are_private_encrypted_and_parts_do_not_stay" {
  command = plan
  module { source = "./modules/storage" }
  override_resource {
    target          = aws_s3_bucket.media
    override_during = plan
    values          = { id = "bucket", arn = "arn:aws:s3:::bucket" }
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.media.block_public_acls,
      aws_s3_bucket_public_access_block.media.block_public_policy,
      aws_s3_bucket_public_access_block.media.ignore_public_acls,
      aws_s3_bucket_public_access_block.media.restrict_public_buckets,
    ])
    error_message = "nothing in the bucket can be made public"
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.media.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms"
    error_message = "encrypted with our key"
  }
  assert {
    condition = alltrue([
      for rule in aws_s3_bucket_lifecycle_configuration.media.rule : rule.status == "Enabled" && one(rule.abort_incomplete_multipart_upload).days_after_initiation <= 7
    ])
    error_message = "uploads that were never finished go"
  }
  assert {
    condition = anytrue([
      for rule in aws_s3_bucket_lifecycle_configuration.media.rule : try(rule.filter[0].prefix == "out/work/" && rule.expiration[0].days == 7, false)
    ])
    error_message = "parts of unfinished videos go"
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_s3_bucket_policy.media.policy).Statement : statement.Effect == "Deny"
    ])
    error_message = "the bucket's policy lets nobody in"
  }
  assert {
    condition = [
      for statement in jsondecode(aws_s3_bucket_policy.media.policy).Statement : [statement.Principal, statement.Action, try(statement.Condition, {})]
    ] == [["*", "s3:*", { Bool = { "aws:SecureTransport" = "false" } }]]
    error_message = "nothing over http, and everybody else is let be"
  }
  assert {
    condition     = one(aws_s3_bucket_ownership_controls.media.rule).object_ownership == "BucketOwnerEnforced"
    error_message = "no object is another account's"
  }
}

run "parts_that_go_too_soon_are_refused" {
  command = plan
  module { source = "./modules/storage" }
  variables { parts_days = 1 }
  expect_failures = [var.parts_days]
}
