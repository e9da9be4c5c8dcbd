variable "name" {
  description = "Name of the cluster."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes, for example 1.35."
  type        = string
  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version: like \"1.35\"."
  }
}

variable "subnet_ids" {
  description = "Private subnets in at least two zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids: at least two, in different zones."
  }
}

variable "public_access_cidrs" {
  description = "Networks that reach the Kubernetes API from outside; none makes the endpoint private."
  type        = list(string)
  validation {
    condition     = !contains(var.public_access_cidrs, "0.0.0.0/0")
    error_message = "public_access_cidrs: 0.0.0.0/0 would open the cluster's API to everyone; name your networks."
  }
}

variable "administrators" {
  description = "IAM principals that administer the cluster, by a name of your choice."
  type        = map(string)
  validation {
    condition     = length(var.administrators) > 0
    error_message = "administrators: at least one; nobody else can reach the cluster, not even who created it."
  }
}

variable "renderers" {
  description = "IAM principals that may render, by a name of your choice."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "Key for secrets and logs."
  type        = string
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
}
