# Everything that Reelyard needs of AWS: network, cluster, node pools, image registry, storage, identities, budget.
locals {
  namespace        = "reelyard"
  service_accounts = ["reelyard-head", "reelyard-worker"]
  input_prefix     = "in/"
  output_prefix    = "out/"

  # Pods in k8s/base/raycluster.yaml are made for these shapes: 8 processors, 32 GiB and one GPU; 16 and 32 GiB.
  pools = {
    system = {
      pool     = "system", lifecycle_kind = "on-demand", instance_types = var.system_instance_types
      min_size = 1, max_size = 3, disk_gib = 100, instance_store = false
    }
    gpu-spot = {
      pool     = "gpu", lifecycle_kind = "spot", instance_types = var.gpu_instance_types
      min_size = 0, max_size = var.gpu_spot_max, disk_gib = 200, instance_store = true
    }
    gpu-ondemand = {
      pool     = "gpu", lifecycle_kind = "on-demand", instance_types = var.gpu_instance_types
      min_size = 0, max_size = var.gpu_ondemand_max, disk_gib = 200, instance_store = true
    }
    cpu = {
      pool     = "cpu", lifecycle_kind = "on-demand", instance_types = var.cpu_instance_types
      min_size = 0, max_size = var.cpu_max, disk_gib = 200, instance_store = false
    }
  }
}

data "aws_caller_identity" "this" {}

# One key for secrets, logs, images and videos; its policy lets the account manage it and CloudWatch use it.
resource "aws_kms_key" "this" {
  description             = "${var.name}: secrets, logs, images, videos"
  enable_key_rotation     = true
  deletion_window_in_days = 14
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheAccountManages"
        Effect    = "Allow"
        Action    = "kms:*"
        Resource  = "*"
        Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.this.account_id}:root" }
      },
      {
        Sid       = "LogsAreEncrypted"
        Effect    = "Allow"
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
        Resource  = "*"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.region}:${data.aws_caller_identity.this.account_id}:*"
          }
        }
      },
    ]
  })
}

module "network" {
  source             = "./modules/network"
  name               = var.name
  region             = var.region
  cidr               = var.cidr
  availability_zones = var.availability_zones
  single_nat_gateway = var.single_nat_gateway
  kms_key_arn        = aws_kms_key.this.arn
  log_retention_days = var.log_retention_days
}

module "cluster" {
  source              = "./modules/cluster"
  name                = var.name
  kubernetes_version  = var.kubernetes_version
  subnet_ids          = module.network.private_subnet_ids
  public_access_cidrs = var.public_access_cidrs
  administrators      = var.administrators
  renderers           = var.renderers
  kms_key_arn         = aws_kms_key.this.arn
  log_retention_days  = var.log_retention_days
}

module "node_pool" {
  source         = "./modules/node_pool"
  for_each       = local.pools
  name           = each.key
  cluster_name   = module.cluster.name
  node_role_arn  = module.cluster.node_role_arn
  subnet_ids     = module.network.private_subnet_ids
  pool           = each.value.pool
  lifecycle_kind = each.value.lifecycle_kind
  instance_types = each.value.instance_types
  min_size       = each.value.min_size
  max_size       = each.value.max_size
  disk_gib       = each.value.disk_gib
  instance_store = each.value.instance_store
}

# Cluster DNS runs on the system pool, which must be there first.
resource "aws_eks_addon" "coredns" {
  cluster_name                = module.cluster.name
  addon_name                  = "coredns"
  resolve_conflicts_on_update = "OVERWRITE"
  depends_on                  = [module.node_pool]
}

module "registry" {
  source        = "./modules/registry"
  name          = var.name
  kms_key_arn   = aws_kms_key.this.arn
  force_destroy = var.force_destroy
}

module "storage" {
  source        = "./modules/storage"
  name          = var.name
  kms_key_arn   = aws_kms_key.this.arn
  output_prefix = local.output_prefix
  parts_days    = var.parts_days
  force_destroy = var.force_destroy
}

module "identity" {
  source           = "./modules/identity"
  name             = var.name
  cluster_name     = module.cluster.name
  namespace        = local.namespace
  service_accounts = local.service_accounts
  bucket_arn       = module.storage.bucket_arn
  input_prefix     = local.input_prefix
  output_prefix    = local.output_prefix
  kms_key_arn      = aws_kms_key.this.arn
}

module "budget" {
  source      = "./modules/budget"
  name        = var.name
  project     = var.name
  monthly_usd = var.monthly_usd
  emails      = var.budget_emails
}
