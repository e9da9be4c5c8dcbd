variable "name" {
  description = "Name of the repository."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that images are encrypted with."
  type        = string
}

variable "force_destroy" {
  description = "Whether destroying the repository destroys its images."
  type        = bool
}
