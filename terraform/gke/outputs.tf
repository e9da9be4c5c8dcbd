output "kubeconfig_command" {
  description = "Makes kubectl speak to the cluster."
  value       = "gcloud container clusters get-credentials ${var.name} --region ${var.region} --project ${var.project}"
}

output "image" {
  description = "What the image's name begins with."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.this.repository_id}/reelyard"
}

output "input_uri" {
  description = "Where sources lie."
  value       = "gs://${google_storage_bucket.media.name}/in/"
}

output "output_uri" {
  description = "Where outputs lie."
  value       = "gs://${google_storage_bucket.media.name}/out/"
}
