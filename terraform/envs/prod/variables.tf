variable "region" {
  description = "AWS region."
  type        = string
}

variable "availability_zones" {
  description = "Two or three zones of the region that offer the GPU machines."
  type        = list(string)
}

variable "administrators" {
  description = "IAM principals that administer the cluster, by a name of your choice."
  type        = map(string)
}

variable "renderers" {
  description = "IAM principals that may render."
  type        = map(string)
  default     = {}
}

variable "monthly_usd" {
  description = "US dollars a month."
  type        = number
}

variable "budget_emails" {
  description = "Who hears when they are nearly spent."
  type        = list(string)
}
