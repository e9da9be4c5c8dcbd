output "ray_role_arn" {
  description = "Role of the Ray pods."
  value       = aws_iam_role.ray.arn
}
