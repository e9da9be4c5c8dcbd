variable "name" {
  description = "Name of the pool."
  type        = string
}

variable "cluster_name" {
  description = "The cluster."
  type        = string
}

variable "node_role_arn" {
  description = "Role of the nodes."
  type        = string
}

variable "subnet_ids" {
  description = "Where nodes are started."
  type        = list(string)
}

variable "pool" {
  description = "What runs there: system, gpu or cpu."
  type        = string
  validation {
    condition     = contains(["system", "gpu", "cpu"], var.pool)
    error_message = "pool: system, gpu or cpu; the manifests in k8s/ select by it."
  }
}

variable "lifecycle_kind" {
  description = "How nodes are paid for: spot or on-demand."
  type        = string
  validation {
    condition     = contains(["spot", "on-demand"], var.lifecycle_kind)
    error_message = "lifecycle_kind: spot or on-demand."
  }
  validation {
    condition     = !(var.pool == "system" && var.lifecycle_kind == "spot")
    error_message = "lifecycle_kind: the system pool holds the head and its driver; it must be on-demand."
  }
}

variable "instance_types" {
  description = "Machines of one shape: the same number of GPUs and processors, and about the same memory."
  type        = list(string)
  validation {
    condition     = length(var.instance_types) > 0
    error_message = "instance_types: at least one."
  }
  validation {
    condition     = length(distinct([for type in var.instance_types : split(".", type)[1]])) == 1
    error_message = "instance_types: found different sizes; a pod is made for one shape, so use one size (all 2xlarge, say)."
  }
}

variable "min_size" {
  description = "Nodes that are always there."
  type        = number
  default     = 0
  validation {
    condition     = var.pool == "system" ? var.min_size >= 1 : var.min_size == 0
    error_message = "min_size: 0, so that idle nodes cost nothing; at least 1 for the system pool."
  }
}

variable "max_size" {
  description = "Nodes at most."
  type        = number
  validation {
    condition     = var.max_size >= max(var.min_size, 1)
    error_message = "max_size: at least 1 and at least min_size."
  }
}

variable "disk_gib" {
  description = "Size of the encrypted root disk."
  type        = number
  validation {
    condition     = var.disk_gib >= 100
    error_message = "disk_gib: at least 100; images alone take 20 and Ray needs room to spill."
  }
}

variable "instance_store" {
  description = "Whether the machines bring fast disks of their own."
  type        = bool
  default     = false
}
