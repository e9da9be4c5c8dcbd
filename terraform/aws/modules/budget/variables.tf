variable "name" {
  description = "Name of the budget."
  type        = string
}

variable "project" {
  description = "Value of the tag `project` that resources carry; activate the tag for costs once, in the billing console."
  type        = string
}

variable "monthly_usd" {
  description = "US dollars a month."
  type        = number
  validation {
    condition     = var.monthly_usd > 0
    error_message = "monthly_usd: more than nothing."
  }
}

variable "emails" {
  description = "Who is told."
  type        = list(string)
  validation {
    condition     = length(var.emails) > 0 && alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "emails: at least one address; an alarm that nobody gets is none."
  }
}
