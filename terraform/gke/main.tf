# A GKE cluster for Reelyard. Formatted and linted only: no run of this project's checks had Google's provider,
# so plan it and read the plan before you apply it.
locals {
  namespace = "reelyard"
  pools = {
    system       = { pool = "system", spot = false, gpu = false, machine = "n2-standard-8", least = 1, most = 3 }
    gpu-spot     = { pool = "gpu", spot = true, gpu = true, machine = var.gpu_machine_type, least = 0, most = var.gpu_spot_max }
    gpu-ondemand = { pool = "gpu", spot = false, gpu = true, machine = var.gpu_machine_type, least = 0, most = var.gpu_ondemand_max }
    cpu          = { pool = "cpu", spot = false, gpu = false, machine = var.cpu_machine_type, least = 0, most = var.cpu_max }
  }
  # Workload Identity: the pods' accounts are principals themselves, without a Google account or a key between.
  accounts = {
    for account in ["reelyard-head", "reelyard-worker"] : account =>
    "principal://iam.googleapis.com/projects/${data.google_project.this.number}/locations/global/workloadIdentityPools/${var.project}.svc.id.goog/subject/ns/${local.namespace}/sa/${account}"
  }
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_compute_network" "this" {
  #checkov:skip=CKV2_GCP_18:GKE makes the firewall rules of its nodes; nothing else stands in this network
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  name                     = var.name
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = "10.60.0.0/20"
  private_ip_google_access = true
  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.64.0.0/14"
  }
  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.68.0.0/20"
  }
  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
  }
}

resource "google_compute_router" "this" {
  name    = var.name
  region  = var.region
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  name                               = var.name
  region                             = var.region
  router                             = google_compute_router.this.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
}

resource "google_service_account" "node" {
  account_id   = "${var.name}-node"
  display_name = "Nodes of ${var.name}: logs, metrics and images, no videos"
}

resource "google_project_iam_member" "node" {
  for_each = toset(["roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"])
  project  = var.project
  role     = each.key
  member   = "serviceAccount:${google_service_account.node.email}"
}

resource "google_container_cluster" "this" {
  #checkov:skip=CKV_GCP_12:Dataplane V2 holds network policies itself; the older add-on cannot be on beside it
  #checkov:skip=CKV_GCP_69:the metadata server is set on each node pool; the default pool is removed
  #checkov:skip=CKV_GCP_24:pod security policies are gone from Kubernetes; the namespace enforces a pod security standard
  #checkov:skip=CKV_GCP_65:groups of a domain are the organisation's matter; access is by IAM
  #checkov:skip=CKV_GCP_66:signing images for Binary Authorization is the organisation's matter
  name                        = var.name
  location                    = var.region
  node_locations              = var.zones
  network                     = google_compute_network.this.id
  subnetwork                  = google_compute_subnetwork.this.id
  remove_default_node_pool    = true
  initial_node_count          = 1
  enable_shielded_nodes       = true
  enable_intranode_visibility = true
  deletion_protection         = true
  resource_labels             = { project = var.name }
  datapath_provider           = "ADVANCED_DATAPATH" # holds the network policies of k8s/

  release_channel {
    channel = "REGULAR"
  }

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = false
    master_ipv4_cidr_block  = "172.16.0.0/28"
  }

  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = var.administrator_cidrs
      content {
        display_name = cidr_blocks.key
        cidr_block   = cidr_blocks.value
      }
    }
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }
}

resource "google_container_node_pool" "this" {
  #checkov:skip=CKV_GCP_68:on wherever there is no GPU; the GPU driver's modules are not signed for it
  for_each = local.pools
  name     = each.key
  cluster  = google_container_cluster.this.id

  autoscaling {
    total_min_node_count = each.value.least
    total_max_node_count = each.value.most
    location_policy      = each.value.spot ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type    = each.value.machine
    spot            = each.value.spot
    disk_size_gb    = 200
    disk_type       = "pd-balanced"
    service_account = google_service_account.node.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    labels = {
      "reelyard.io/pool"      = each.value.pool
      "reelyard.io/lifecycle" = each.value.spot ? "spot" : "on-demand"
    }

    metadata = {
      disable-legacy-endpoints = "true"
    }

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_secure_boot          = !each.value.gpu # the driver's modules are not signed for it
      enable_integrity_monitoring = true
    }

    dynamic "guest_accelerator" {
      for_each = each.value.gpu ? [var.gpu_type] : []
      content {
        type  = guest_accelerator.value
        count = 1
        gpu_driver_installation_config {
          gpu_driver_version = "DEFAULT"
        }
      }
    }

    # GKE itself taints GPU nodes nvidia.com/gpu=present:NoSchedule; said here so that it does not depend on it.
    dynamic "taint" {
      for_each = each.value.gpu ? ["nvidia.com/gpu"] : []
      content {
        key    = taint.value
        value  = "present"
        effect = "NO_SCHEDULE"
      }
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count]
  }
}

resource "google_storage_bucket" "media" {
  #checkov:skip=CKV_GCP_62:who reads which video is told by audit logs of data access, where they are wanted
  #checkov:skip=CKV_GCP_78:with versions every deleted part would be kept and paid for; a render can be made again
  name                        = "${var.project}-${var.name}-media"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 2
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.parts_days
      matches_prefix = ["out/work/"]
    }
  }
}

# Sources are read, outputs written; the condition keeps each to its prefix.
resource "google_storage_bucket_iam_member" "sources" {
  for_each = local.accounts
  bucket   = google_storage_bucket.media.name
  role     = "roles/storage.objectViewer"
  member   = each.value
  condition {
    title      = "sources"
    expression = "resource.type != 'storage.googleapis.com/Object' || resource.name.startsWith('projects/_/buckets/${google_storage_bucket.media.name}/objects/in/')"
  }
}

resource "google_storage_bucket_iam_member" "outputs" {
  for_each = local.accounts
  bucket   = google_storage_bucket.media.name
  role     = "roles/storage.objectUser"
  member   = each.value
  condition {
    title      = "outputs"
    expression = "resource.type != 'storage.googleapis.com/Object' || resource.name.startsWith('projects/_/buckets/${google_storage_bucket.media.name}/objects/out/')"
  }
}

resource "google_artifact_registry_repository" "this" {
  #checkov:skip=CKV_GCP_84:Google's own key is enough for images that hold no secret
  repository_id = var.name
  location      = var.region
  format        = "DOCKER"
  docker_config {
    immutable_tags = true
  }
}
