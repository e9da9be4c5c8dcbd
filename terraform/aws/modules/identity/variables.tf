variable "name" {
  description = "Prefix of every name."
  type        = string
}

variable "cluster_name" {
  description = "The cluster."
  type        = string
}

variable "namespace" {
  description = "Namespace of the Ray pods."
  type        = string
}

variable "service_accounts" {
  description = "Accounts of the Ray pods."
  type        = list(string)
}

variable "bucket_arn" {
  description = "The bucket with videos."
  type        = string
}

variable "input_prefix" {
  description = "Where sources lie; pods may read it."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9-]+/$", var.input_prefix))
    error_message = "input_prefix: one folder, like \"in/\"; an empty one would open the whole bucket."
  }
}

variable "output_prefix" {
  description = "Where outputs and parts lie; pods may write it."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9-]+/$", var.output_prefix)) && var.output_prefix != var.input_prefix
    error_message = "output_prefix: one folder, like \"out/\", and another than the sources'."
  }
}

variable "kms_key_arn" {
  description = "Key of the bucket."
  type        = string
}
