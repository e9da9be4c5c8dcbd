# The cluster that work runs on.
terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.95, < 6.0"
    }
  }
  # terraform init -backend-config=bucket=YOUR-STATE -backend-config=region=REGION
  backend "s3" {
    key          = "reelyard/prod.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { project = "reelyard-prod" }
  }
}

module "reelyard" {
  source             = "../../aws"
  name               = "reelyard-prod"
  region             = var.region
  availability_zones = var.availability_zones
  administrators     = var.administrators
  renderers          = var.renderers
  budget_emails      = var.budget_emails
  monthly_usd        = var.monthly_usd
  kubernetes_version = "1.35"

  # Reached from inside the network only (a VPN, a bastion, a runner), a NAT gateway in each zone, nothing destroyed by chance.
  public_access_cidrs   = []
  cidr                  = "10.40.0.0/16"
  single_nat_gateway    = false
  system_instance_types = ["m7i.2xlarge", "m6i.2xlarge"]
  gpu_instance_types    = ["g6.2xlarge", "g5.2xlarge"]
  cpu_instance_types    = ["c7i.4xlarge", "c6i.4xlarge", "c7a.4xlarge", "c6a.4xlarge"]
  gpu_spot_max          = 64
  gpu_ondemand_max      = 8
  cpu_max               = 32
  parts_days            = 14
  log_retention_days    = 365
  force_destroy         = false
}
