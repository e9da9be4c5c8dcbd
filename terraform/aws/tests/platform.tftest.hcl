# What the whole promises, planned with a provider that is made up: no account is needed.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "000000000000" }
  }
}

variables {
  name                  = "reelyard-test"
  region                = "eu-west-1"
  availability_zones    = ["eu-west-1a", "eu-west-1b"]
  cidr                  = "10.20.0.0/16"
  single_nat_gateway    = true
  kubernetes_version    = "1.35"
  public_access_cidrs   = []
  administrators        = { me = "arn:aws:iam::000000000000:role/Admin" }
  renderers             = {}
  system_instance_types = ["m7i.2xlarge"]
  gpu_instance_types    = ["g6.2xlarge", "g5.2xlarge"]
  cpu_instance_types    = ["c7i.4xlarge"]
  gpu_spot_max          = 8
  gpu_ondemand_max      = 2
  cpu_max               = 4
  parts_days            = 7
  log_retention_days    = 365
  force_destroy         = true
  monthly_usd           = 500
  budget_emails         = ["you@example.com"]
}

run "every_pool_has_the_labels_that_the_manifests_select_by" {
  command = plan
  assert {
    condition = {
      for name, pool in output.pools : name => pool.labels
      } == {
      system       = { "reelyard.io/pool" = "system", "reelyard.io/lifecycle" = "on-demand" }
      gpu-spot     = { "reelyard.io/pool" = "gpu", "reelyard.io/lifecycle" = "spot", "nvidia.com/gpu.present" = "true" }
      gpu-ondemand = { "reelyard.io/pool" = "gpu", "reelyard.io/lifecycle" = "on-demand", "nvidia.com/gpu.present" = "true" }
      cpu          = { "reelyard.io/pool" = "cpu", "reelyard.io/lifecycle" = "on-demand" }
    }
    error_message = "pools and their labels"
  }
  assert {
    condition     = alltrue([for name, pool in local.pools : name == "system" ? pool.min_size == 1 : pool.min_size == 0])
    error_message = "only the system pool may keep nodes"
  }
  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "the key is changed every year"
  }
  assert {
    condition     = !contains(flatten([for s in jsondecode(aws_kms_key.this.policy).Statement : try(s.Principal.AWS, [])]), "*")
    error_message = "the key's policy names no one at large"
  }
}

run "a_bad_name_is_refused" {
  command = plan
  variables { name = "Reelyard_Test" }
  expect_failures = [var.name]
}
