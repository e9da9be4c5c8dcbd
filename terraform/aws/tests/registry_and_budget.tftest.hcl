mock_provider "aws" {}

run "a_tag_means_the_same_for_good" {
  command = plan
  module { source = "./modules/registry" }
  variables {
    name          = "test"
    kms_key_arn   = "arn:aws:kms:eu-west-1:000000000000:key/k"
    force_destroy = false
  }
  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "tags cannot be moved, images are looked through"
  }
}

run "somebody_hears_before_the_money_is_gone" {
  command = plan
  module { source = "./modules/budget" }
  variables {
    name        = "test"
    project     = "test"
    monthly_usd = 500
    emails      = ["you@example.com"]
  }
  assert {
    condition     = length([for n in aws_budgets_budget.this.notification : n if n.notification_type == "FORECASTED"]) == 1
    error_message = "the forecast is told"
  }
  assert {
    condition     = alltrue([for n in aws_budgets_budget.this.notification : length(n.subscriber_email_addresses) > 0])
    error_message = "each to somebody"
  }
  assert {
    condition     = one(aws_budgets_budget.this.cost_filter).values == tolist(["user:project$test"]) && aws_budgets_budget.this.limit_amount == "500"
    error_message = "what carries the project's tag counts, up to what was said"
  }
}

run "a_budget_of_nothing_is_refused" {
  command = plan
  module { source = "./modules/budget" }
  variables {
    name        = "test"
    project     = "test"
    monthly_usd = 0
    emails      = ["you@example.com"]
  }
  expect_failures = [var.monthly_usd]
}

run "an_alarm_for_nobody_is_refused" {
  command = plan
  module { source = "./modules/budget" }
  variables {
    name        = "test"
    project     = "test"
    monthly_usd = 500
    emails      = []
  }
  expect_failures = [var.emails]
}
