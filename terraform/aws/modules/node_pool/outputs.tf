output "labels" {
  description = "Labels of the nodes."
  value       = local.labels
}

output "max_size" {
  description = "Nodes at most."
  value       = var.max_size
}
