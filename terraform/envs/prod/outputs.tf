output "kubeconfig_command" {
  description = "Makes kubectl speak to the cluster."
  value       = module.reelyard.kubeconfig_command
}

output "image" {
  description = "What the image's name begins with."
  value       = module.reelyard.image
}

output "input_uri" {
  description = "Where sources lie."
  value       = module.reelyard.input_uri
}

output "output_uri" {
  description = "Where outputs lie."
  value       = module.reelyard.output_uri
}

output "pools" {
  description = "Labels and largest size of each node pool."
  value       = module.reelyard.pools
}
