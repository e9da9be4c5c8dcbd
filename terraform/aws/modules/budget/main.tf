# A message when this month's bill, or what it will likely be, passes what was meant to be spent.
resource "aws_budgets_budget" "this" {
  name         = var.name
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.monthly_usd)
  limit_unit   = "USD"

  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:project$%s", var.project)] # key and value, apart by a dollar sign
  }

  dynamic "notification" {
    for_each = { half = [50, "ACTUAL"], most = [90, "ACTUAL"], forecast = [100, "FORECASTED"] }
    content {
      comparison_operator        = "GREATER_THAN"
      threshold_type             = "PERCENTAGE"
      threshold                  = notification.value[0]
      notification_type          = notification.value[1]
      subscriber_email_addresses = var.emails
    }
  }
}
