# Nodes of one kind and one way of paying. Labels are the ones that k8s/ selects by.
locals {
  gpu = startswith(var.pool, "gpu")
  labels = merge(
    { "reelyard.io/pool" = var.pool, "reelyard.io/lifecycle" = var.lifecycle_kind },
    # NVIDIA's device plugin runs on nodes with this label and no others; without it no node offers a GPU.
    local.gpu ? { "nvidia.com/gpu.present" = "true" } : {},
  )
  # What the cluster-autoscaler cannot see while a pool is empty, told by tags of its scaling group.
  template = merge(
    { for key, value in local.labels : "label/${key}" => value },
    local.gpu ? { "taint/nvidia.com/gpu" = "present:NoSchedule", "resources/nvidia.com/gpu" = "1" } : {},
    { "resources/ephemeral-storage" = "${var.disk_gib}Gi" },
  )
}

resource "aws_launch_template" "this" {
  name_prefix = "${var.cluster_name}-${var.name}-"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # a pod is one hop further: it cannot take the node's role
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = var.disk_gib
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }

  # Fast disks that come with the machine hold images, spilled objects and parts, where there are any.
  user_data = var.instance_store ? base64encode(<<-MIME
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="reelyard"

    --reelyard
    Content-Type: application/node.eks.aws

    apiVersion: node.eks.aws/v1alpha1
    kind: NodeConfig
    spec:
      instance:
        localStorage:
          strategy: RAID0

    --reelyard--
  MIME
  ) : null

  # Default tags of the provider do not reach what a scaling group starts; the budget counts by this one.
  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])
    content {
      resource_type = tag_specifications.value
      tags          = { Name = "${var.cluster_name}-${var.name}", project = var.cluster_name }
    }
  }
}

resource "aws_eks_node_group" "this" {
  cluster_name    = var.cluster_name
  node_group_name = var.name
  node_role_arn   = var.node_role_arn
  subnet_ids      = var.subnet_ids
  ami_type        = local.gpu ? "AL2023_x86_64_NVIDIA" : "AL2023_x86_64_STANDARD"
  capacity_type   = var.lifecycle_kind == "spot" ? "SPOT" : "ON_DEMAND"
  instance_types  = var.instance_types
  labels          = local.labels

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  scaling_config {
    min_size     = var.min_size
    desired_size = var.min_size
    max_size     = var.max_size
  }

  # Nothing but what tolerates it runs on a GPU node.
  dynamic "taint" {
    for_each = local.gpu ? ["nvidia.com/gpu"] : []
    content {
      key    = taint.value
      value  = "present"
      effect = "NO_SCHEDULE"
    }
  }

  update_config {
    max_unavailable = 1
  }

  lifecycle {
    ignore_changes = [scaling_config[0].desired_size] # the autoscaler's
  }
}

resource "aws_autoscaling_group_tag" "template" {
  for_each               = local.template
  autoscaling_group_name = aws_eks_node_group.this.resources[0].autoscaling_groups[0].name
  tag {
    key                 = "k8s.io/cluster-autoscaler/node-template/${each.key}"
    value               = each.value
    propagate_at_launch = false
  }
}
