mock_provider "aws" {}

variables {
  name             = "test"
  cluster_name     = "test"
  namespace        = "reelyard"
  service_accounts = ["reelyard-head", "reelyard-worker"]
  bucket_arn       = "arn:aws:s3:::bucket"
  input_prefix     = "in/"
  output_prefix    = "out/"
  kms_key_arn      = "arn:aws:kms:eu-west-1:000000000000:key/k"
}

run "pods_read_one_prefix_and_write_another" {
  command = plan
  module { source = "./modules/identity" }
  assert {
    condition = alltrue(flatten([
      for statement in jsondecode(aws_iam_role_policy.ray.policy).Statement : [
        for resource in statement.Resource : contains([
          "arn:aws:s3:::bucket", "arn:aws:s3:::bucket/in/*", "arn:aws:s3:::bucket/out/*",
          "arn:aws:kms:eu-west-1:000000000000:key/k",
        ], resource)
      ]
    ]))
    error_message = "nothing outside the two prefixes and their key"
  }
  assert {
    condition = !anytrue(flatten([
      for statement in concat(jsondecode(aws_iam_role_policy.ray.policy).Statement, jsondecode(aws_iam_role_policy.autoscaler.policy).Statement) : [
        for action in statement.Action : strcontains(action, "*")
      ]
    ]))
    error_message = "no action by wildcard"
  }
  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.ray.policy).Statement : statement.Action])) == toset([
      "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:ListBucket",
      "kms:Decrypt", "kms:GenerateDataKey",
    ])
    error_message = "exactly what rendering does"
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.ray.policy).Statement : statement.Action == ["s3:ListBucket"] if contains(statement.Resource, "arn:aws:s3:::bucket")
    ])
    error_message = "the bucket itself is listed and nothing more"
  }
  assert {
    condition = alltrue(flatten([
      for statement in jsondecode(aws_iam_role_policy.autoscaler.policy).Statement : [
        for action in statement.Action : can(regex("^[a-z0-9]+:(Describe|Get)", action))
      ] if contains(statement.Resource, "*")
    ]))
    error_message = "whatever concerns all resources is a look"
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.ray.policy).Statement : statement.Action == ["s3:GetObject"] if contains(statement.Resource, "arn:aws:s3:::bucket/in/*")
    ])
    error_message = "sources are read, never written"
  }
  assert {
    condition = one([
      for statement in jsondecode(aws_iam_role_policy.ray.policy).Statement : statement.Condition.StringLike["s3:prefix"] if contains(statement.Action, "s3:ListBucket")
    ]) == ["in/*", "out/*"]
    error_message = "only the two prefixes can be listed"
  }
  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role.ray.assume_role_policy).Statement : statement.Principal == { Service = "pods.eks.amazonaws.com" }])
    error_message = "only pods take the role"
  }
  assert {
    condition = (
      keys(aws_eks_pod_identity_association.ray) == ["reelyard-head", "reelyard-worker"] &&
      alltrue([for a in aws_eks_pod_identity_association.ray : a.namespace == "reelyard"])
    )
    error_message = "exactly the two accounts of k8s/base"
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.autoscaler.policy).Statement :
      try(statement.Condition.StringEquals["aws:ResourceTag/eks:cluster-name"] == "test", false)
      if anytrue([for action in statement.Action : startswith(action, "autoscaling:Set") || startswith(action, "autoscaling:Term")])
    ])
    error_message = "the autoscaler scales this cluster and no other"
  }
}

run "the_whole_bucket_is_refused" {
  command = plan
  module { source = "./modules/identity" }
  variables { input_prefix = "" }
  expect_failures = [var.input_prefix]
}

run "writing_among_the_sources_is_refused" {
  command = plan
  module { source = "./modules/identity" }
  variables { output_prefix = "in/" }
  expect_failures = [var.output_prefix]
}
