output "reelyard" {
  description = "What the next steps of the README ask for."
  value       = module.reelyard
}
