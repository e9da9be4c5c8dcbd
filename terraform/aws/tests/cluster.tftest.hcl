mock_provider "aws" {}

variables {
  name                = "test"
  kubernetes_version  = "1.35"
  subnet_ids          = ["subnet-a", "subnet-b"]
  public_access_cidrs = []
  administrators      = { me = "arn:aws:iam::000000000000:role/Admin" }
  renderers           = { team = "arn:aws:iam::000000000000:role/Video" }
  kms_key_arn         = "arn:aws:kms:eu-west-1:000000000000:key/k"
  log_retention_days  = 365
}

run "private_encrypted_logged_and_administered_by_name" {
  command = plan
  module { source = "./modules/cluster" }
  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].endpoint_private_access
    error_message = "no network named: the endpoint is private"
  }
  assert {
    condition = (
      aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"]) &&
      aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == var.kms_key_arn
    )
    error_message = "secrets are encrypted with our key"
  }
  assert {
    condition = (
      aws_cloudwatch_log_group.cluster.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.cluster.retention_in_days == 365
    )
    error_message = "logs are encrypted, and kept as long as was asked"
  }
  assert {
    condition     = aws_eks_cluster.this.upgrade_policy[0].support_type == "STANDARD"
    error_message = "no dearer support without asking"
  }
  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5
    error_message = "all logs of the control plane are kept"
  }
  assert {
    condition = (
      aws_eks_cluster.this.access_config[0].authentication_mode == "API" &&
      !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    )
    error_message = "who administers is named by access entries"
  }
  assert {
    condition     = contains(keys(aws_eks_addon.before_nodes), "eks-pod-identity-agent")
    error_message = "pods get their credentials from the agent"
  }
  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "network policies are held"
  }
  assert {
    condition = (
      aws_eks_access_entry.renderer["team"].kubernetes_groups == toset(["reelyard-renderers"]) &&
      keys(aws_eks_access_policy_association.admin) == ["me"]
    )
    error_message = "who renders administers nothing"
  }
  assert {
    condition     = !anytrue([for a in aws_iam_role_policy_attachment.node : can(regex("S3|Admin|FullAccess", a.policy_arn))])
    error_message = "nodes read no videos"
  }
}

run "named_networks_open_the_endpoint_to_them_alone" {
  command = plan
  module { source = "./modules/cluster" }
  variables { public_access_cidrs = ["203.0.113.7/32"] }
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["203.0.113.7/32"])
    error_message = "the named network and no other"
  }
}

run "an_api_open_to_everyone_is_refused" {
  command = plan
  module { source = "./modules/cluster" }
  variables { public_access_cidrs = ["0.0.0.0/0"] }
  expect_failures = [var.public_access_cidrs]
}

run "an_odd_kubernetes_version_is_refused" {
  command = plan
  module { source = "./modules/cluster" }
  variables { kubernetes_version = "v1.35.0" }
  expect_failures = [var.kubernetes_version]
}

run "a_single_subnet_is_refused" {
  command = plan
  module { source = "./modules/cluster" }
  variables { subnet_ids = ["subnet-a"] }
  expect_failures = [var.subnet_ids]
}

run "a_cluster_nobody_administers_is_refused" {
  command = plan
  module { source = "./modules/cluster" }
  variables { administrators = {} }
  expect_failures = [var.administrators]
}
