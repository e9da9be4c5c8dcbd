output "name" {
  description = "Name of the cluster, known once it exists."
  value       = aws_eks_cluster.this.name
  depends_on  = [aws_eks_addon.before_nodes]
}

output "endpoint" {
  description = "The Kubernetes API."
  value       = aws_eks_cluster.this.endpoint
}

output "node_role_arn" {
  description = "Role of every node."
  value       = aws_iam_role.node.arn
  depends_on  = [aws_iam_role_policy_attachment.node]
}
