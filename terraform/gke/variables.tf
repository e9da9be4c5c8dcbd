variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "name" {
  description = "Name of the cluster and prefix of every name."
  type        = string
  default     = "reelyard"
}

variable "region" {
  description = "Region, for example europe-west4."
  type        = string
}

variable "zones" {
  description = "Zones of the region that offer the GPU."
  type        = list(string)
}

variable "gpu_type" {
  description = "GPU of the GPU pools."
  type        = string
  default     = "nvidia-l4"
}

variable "gpu_machine_type" {
  description = "Machine with one GPU, 8 processors and 32 GiB."
  type        = string
  default     = "g2-standard-8"
}

variable "cpu_machine_type" {
  description = "Machine with 16 processors and at least 32 GiB."
  type        = string
  default     = "n2-standard-16"
}

variable "gpu_spot_max" {
  description = "Spot GPU nodes at most, in all zones together."
  type        = number
  default     = 8
}

variable "gpu_ondemand_max" {
  description = "On-demand GPU nodes at most."
  type        = number
  default     = 2
}

variable "cpu_max" {
  description = "CPU nodes at most."
  type        = number
  default     = 4
}

variable "administrator_cidrs" {
  description = "Networks that reach the Kubernetes API, by a name of your choice."
  type        = map(string)
  validation {
    condition     = !contains(values(var.administrator_cidrs), "0.0.0.0/0")
    error_message = "administrator_cidrs: 0.0.0.0/0 would open the cluster's API to everyone; name your networks."
  }
}

variable "parts_days" {
  description = "Days after which parts of an unfinished video are removed."
  type        = number
  default     = 7
}
