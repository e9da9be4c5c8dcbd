variable "name" {
  description = "Name of the cluster and prefix of every name."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "name: starts with a letter; lower-case letters, digits and dashes; 2 to 20 characters."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "availability_zones" {
  description = "Two or three zones of the region."
  type        = list(string)
}

variable "cidr" {
  description = "Addresses of the network, a /16."
  type        = string
}

variable "single_nat_gateway" {
  description = "One NAT gateway for all zones: cheaper, and a zone that fails may take the others with it."
  type        = bool
}

variable "kubernetes_version" {
  description = "Kubernetes of EKS."
  type        = string
}

variable "public_access_cidrs" {
  description = "Networks that reach the Kubernetes API from outside; none makes it private."
  type        = list(string)
}

variable "administrators" {
  description = "IAM principals that administer the cluster, by a name of your choice."
  type        = map(string)
}

variable "renderers" {
  description = "IAM principals that may render: submit, watch and end jobs in the namespace reelyard."
  type        = map(string)
}

variable "system_instance_types" {
  description = "Machines for the head, the operator and cluster DNS."
  type        = list(string)
}

variable "gpu_instance_types" {
  description = "Machines with one GPU, 8 processors and 32 GiB. With NVENC (L4, A10G, L40S) encoding costs no processor."
  type        = list(string)
}

variable "cpu_instance_types" {
  description = "Machines with 16 processors and at least 32 GiB."
  type        = list(string)
}

variable "gpu_spot_max" {
  description = "Spot GPU nodes at most."
  type        = number
}

variable "gpu_ondemand_max" {
  description = "On-demand GPU nodes at most."
  type        = number
}

variable "cpu_max" {
  description = "CPU nodes at most."
  type        = number
}

variable "parts_days" {
  description = "Days after which parts of an unfinished video are removed."
  type        = number
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "force_destroy" {
  description = "Whether `terraform destroy` destroys videos and images too."
  type        = bool
}

variable "monthly_usd" {
  description = "US dollars a month; whoever stands in budget_emails hears when they are nearly spent."
  type        = number
}

variable "budget_emails" {
  description = "Who hears of it."
  type        = list(string)
}
