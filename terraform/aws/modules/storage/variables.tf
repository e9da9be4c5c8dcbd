variable "name" {
  description = "Prefix of the bucket's name."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that objects are encrypted with."
  type        = string
}

variable "output_prefix" {
  description = "Where outputs lie."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9-]+/$", var.output_prefix))
    error_message = "output_prefix: one folder, like \"out/\"."
  }
}

variable "parts_days" {
  description = "Days after which parts of an unfinished video are removed."
  type        = number
  validation {
    condition     = var.parts_days >= 3
    error_message = "parts_days: at least 3; a batch that is resumed on Monday needs Friday's parts."
  }
}

variable "force_destroy" {
  description = "Whether destroying the bucket destroys what is in it."
  type        = bool
}
