mock_provider "aws" {}

variables {
  name           = "gpu-spot"
  cluster_name   = "test"
  node_role_arn  = "arn:aws:iam::000000000000:role/node"
  subnet_ids     = ["subnet-a", "subnet-b"]
  pool           = "gpu"
  lifecycle_kind = "spot"
  instance_types = ["g6.2xlarge", "g5.2xlarge"]
  min_size       = 0
  max_size       = 8
  disk_gib       = 200
  instance_store = true
}

run "a_spot_gpu_pool_is_spot_tainted_and_empty" {
  command = plan
  module { source = "./modules/node_pool" }
  assert {
    condition     = aws_eks_node_group.this.capacity_type == "SPOT"
    error_message = "spot"
  }
  assert {
    condition     = [for taint in aws_eks_node_group.this.taint : "${taint.key}:${taint.effect}"] == ["nvidia.com/gpu:NO_SCHEDULE"]
    error_message = "a GPU pool is tainted: nothing else wakes its nodes"
  }
  assert {
    condition     = aws_eks_node_group.this.scaling_config[0].min_size == 0 && aws_eks_node_group.this.scaling_config[0].desired_size == 0
    error_message = "idle, it costs nothing"
  }
  assert {
    condition     = aws_eks_node_group.this.ami_type == "AL2023_x86_64_NVIDIA"
    error_message = "the image brings the driver"
  }
  assert {
    condition = (
      aws_autoscaling_group_tag.template["taint/nvidia.com/gpu"].tag[0].value == "present:NoSchedule" &&
      aws_autoscaling_group_tag.template["resources/nvidia.com/gpu"].tag[0].value == "1" &&
      aws_autoscaling_group_tag.template["label/reelyard.io/lifecycle"].tag[0].value == "spot"
    )
    error_message = "the autoscaler is told what an empty pool offers"
  }
  assert {
    condition = (
      aws_launch_template.this.metadata_options[0].http_tokens == "required" &&
      aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    )
    error_message = "pods cannot take the node's role"
  }
  assert {
    condition = (
      try(aws_eks_node_group.this.labels["nvidia.com/gpu.present"], "") == "true" &&
      try(aws_autoscaling_group_tag.template["label/nvidia.com/gpu.present"].tag[0].value, "") == "true"
    )
    error_message = "the device plugin finds the node"
  }
  assert {
    condition     = aws_eks_node_group.this.scaling_config[0].max_size == 8 && aws_eks_node_group.this.instance_types == tolist(["g6.2xlarge", "g5.2xlarge"])
    error_message = "as many, and of the kinds, that were asked for"
  }
  assert {
    condition     = tobool(aws_launch_template.this.block_device_mappings[0].ebs[0].encrypted)
    error_message = "disks are encrypted"
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.this.user_data), "strategy: RAID0")
    error_message = "the machine's own disks are used"
  }
  assert {
    condition     = alltrue([for t in aws_launch_template.this.tag_specifications : t.tags.project == "test"])
    error_message = "machines carry the tag that the budget counts by"
  }
}

run "an_on_demand_gpu_pool_is_tainted_too" {
  command = plan
  module { source = "./modules/node_pool" }
  variables {
    name           = "gpu-ondemand"
    lifecycle_kind = "on-demand"
  }
  assert {
    condition     = aws_eks_node_group.this.capacity_type == "ON_DEMAND" && length(aws_eks_node_group.this.taint) == 1
    error_message = "on-demand and tainted"
  }
}

run "a_cpu_pool_has_no_taint" {
  command = plan
  module { source = "./modules/node_pool" }
  variables {
    name           = "cpu"
    pool           = "cpu"
    lifecycle_kind = "on-demand"
    instance_types = ["c7i.4xlarge"]
    instance_store = false
  }
  assert {
    condition = (
      length(aws_eks_node_group.this.taint) == 0 && aws_eks_node_group.this.ami_type == "AL2023_x86_64_STANDARD" &&
      !contains(keys(aws_eks_node_group.this.labels), "nvidia.com/gpu.present")
    )
    error_message = "a plain pool"
  }
}

run "machines_of_two_shapes_are_refused" {
  command = plan
  module { source = "./modules/node_pool" }
  variables { instance_types = ["g6.2xlarge", "g6.4xlarge"] }
  expect_failures = [var.instance_types]
}

run "a_gpu_pool_that_keeps_nodes_is_refused" {
  command = plan
  module { source = "./modules/node_pool" }
  variables { min_size = 1 }
  expect_failures = [var.min_size]
}

run "a_head_on_a_spot_node_is_refused" {
  command = plan
  module { source = "./modules/node_pool" }
  variables {
    pool     = "system"
    min_size = 1
  }
  expect_failures = [var.lifecycle_kind]
}
