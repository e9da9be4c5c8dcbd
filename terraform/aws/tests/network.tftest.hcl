mock_provider "aws" {
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-west-1:000000000000:log-group:flow" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::000000000000:role/flow" }
  }
}

variables {
  name               = "test"
  region             = "eu-west-1"
  cidr               = "10.20.0.0/16"
  availability_zones = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
  single_nat_gateway = false
  kms_key_arn        = "arn:aws:kms:eu-west-1:000000000000:key/k"
  log_retention_days = 365
}

run "no_node_has_a_public_address_and_videos_stay_inside" {
  command = plan
  module { source = "./modules/network" }
  assert {
    condition     = alltrue([for subnet in aws_subnet.private : !coalesce(subnet.map_public_ip_on_launch, false)])
    error_message = "private subnets give no public address"
  }
  assert {
    condition     = aws_vpc_endpoint.s3.service_name == "com.amazonaws.eu-west-1.s3" && aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway"
    error_message = "object storage is reached through a gateway endpoint"
  }
  assert {
    condition     = length(distinct([for s in merge(aws_subnet.private, { for z, s in aws_subnet.public : "p${z}" => s }) : s.cidr_block])) == 6
    error_message = "six subnets, none twice"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "a gateway in each zone"
  }
  assert {
    condition     = length(aws_default_security_group.unused.ingress) == 0 && length(aws_default_security_group.unused.egress) == 0
    error_message = "the default security group allows nothing"
  }
}

# Applied to made-up resources: only then their ids are known.
run "every_private_subnet_reaches_storage_by_the_endpoint_and_the_world_by_a_gateway" {
  module { source = "./modules/network" }
  assert {
    condition     = toset(aws_vpc_endpoint.s3.route_table_ids) == toset([for table in aws_route_table.private : table.id])
    error_message = "the endpoint stands in the routes of every private subnet"
  }
  assert {
    condition     = { for zone, a in aws_route_table_association.private : zone => a.route_table_id } == { for zone, t in aws_route_table.private : zone => t.id }
    error_message = "each private subnet has the routes of its zone"
  }
  assert {
    condition = alltrue([
      for zone, route in aws_route.nat : route.nat_gateway_id == aws_nat_gateway.this[zone].id && try(length(route.gateway_id), 0) == 0
    ])
    error_message = "no private subnet is reached from outside"
  }
}

run "one_nat_gateway_where_asked" {
  command = plan
  module { source = "./modules/network" }
  variables { single_nat_gateway = true }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 3
    error_message = "one gateway, three routes to it"
  }
}

run "a_network_too_small_is_refused" {
  command = plan
  module { source = "./modules/network" }
  variables { cidr = "10.20.0.0/20" }
  expect_failures = [var.cidr]
}

run "a_single_zone_is_refused" {
  command = plan
  module { source = "./modules/network" }
  variables { availability_zones = ["eu-west-1a"] }
  expect_failures = [var.availability_zones]
}
