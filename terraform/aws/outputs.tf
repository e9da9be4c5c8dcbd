output "kubeconfig_command" {
  description = "Makes kubectl speak to the cluster."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${module.cluster.name}"
}

output "image" {
  description = "What the image's name begins with."
  value       = module.registry.repository_url
}

output "input_uri" {
  description = "Where sources lie."
  value       = "s3://${module.storage.bucket}/${local.input_prefix}"
}

output "output_uri" {
  description = "Where outputs lie."
  value       = "s3://${module.storage.bucket}/${local.output_prefix}"
}

output "pools" {
  description = "Labels and largest size of each node pool."
  value       = { for name, pool in module.node_pool : name => { labels = pool.labels, max_size = pool.max_size } }
}
