//! The changes as Terraform.

use std::fmt::Write;

use super::cloudformation::{frequency, needs_secret, scan_type, word};
use super::setting::{Change, Setting};

/// Returns a resource for each change. What has none in the provider is a comment with its command.
pub fn configuration(changes: &[Change]) -> String {
    let mut out = String::new();
    for change in changes {
        // Writing to a string cannot fail.
        let _ = write(&mut out, change);
    }
    out
}

fn write(out: &mut String, change: &Change) -> std::fmt::Result {
    writeln!(out, "# {}", change.why.replace(['\n', '\r'], " "))?;
    match &change.setting {
        Setting::Scanning { scanning } => {
            writeln!(out, "resource \"aws_ecr_registry_scanning_configuration\" \"patchwave\" {{")?;
            writeln!(out, "  scan_type = {}", text(scan_type(scanning.scanner)))?;
            for rule in &scanning.rules {
                writeln!(out, "  rule {{\n    scan_frequency = {}", text(frequency(rule.frequency)))?;
                for filter in &rule.filters {
                    writeln!(out, "    repository_filter {{\n      filter = {}", text(filter))?;
                    writeln!(out, "      filter_type = \"WILDCARD\"\n    }}")?;
                }
                writeln!(out, "  }}")?;
            }
            writeln!(out, "}}\n")
        }
        Setting::Replication { replicas } => {
            writeln!(out, "resource \"aws_ecr_replication_configuration\" \"patchwave\" {{")?;
            writeln!(out, "  replication_configuration {{\n    rule {{")?;
            for replica in replicas {
                writeln!(out, "      destination {{\n        region = {}", text(&replica.region))?;
                writeln!(out, "        registry_id = {}\n      }}", text(&replica.account))?;
            }
            writeln!(out, "    }}\n  }}\n}}\n")
        }
        Setting::Cache { prefix, upstream } => cache(out, prefix, upstream),
        Setting::Template { prefix } => {
            writeln!(out, "resource \"aws_ecr_repository_creation_template\" {} {{", text(&label(prefix)))?;
            writeln!(out, "  prefix = {}\n  applied_for = [\"PULL_THROUGH_CACHE\"]\n}}\n", text(prefix))
        }
        Setting::Exclusion { principal } => writeln!(
            out,
            "# aws ecr register-pull-time-update-exclusion --principal-arn {}\n",
            principal.replace(['\n', '\r'], " ")
        ),
        Setting::Mutability { repository, excluded_tags } => mutability(out, repository, excluded_tags),
        Setting::Policy { repository, policy } => {
            writeln!(out, "resource \"aws_ecr_repository_policy\" {} {{", text(&label(repository)))?;
            writeln!(
                out,
                "  repository = {}\n  policy = {}\n}}\n",
                text(repository),
                text(&policy.to_string())
            )
        }
    }
}

fn cache(out: &mut String, prefix: &str, upstream: &str) -> std::fmt::Result {
    let label = label(prefix);
    if needs_secret(upstream) {
        writeln!(out, "variable {} {{\n  type = string\n}}\n", text(&format!("secret_{label}")))?;
    }
    writeln!(out, "resource \"aws_ecr_pull_through_cache_rule\" {} {{", text(&label))?;
    writeln!(
        out,
        "  ecr_repository_prefix = {}\n  upstream_registry_url = {}",
        text(prefix),
        text(upstream)
    )?;
    if needs_secret(upstream) {
        writeln!(out, "  credential_arn = var.secret_{label}")?;
    }
    writeln!(out, "}}\n")
}

fn mutability(out: &mut String, repository: &str, excluded_tags: &[String]) -> std::fmt::Result {
    let label = label(repository);
    writeln!(out, "import {{\n  to = aws_ecr_repository.{label}\n  id = {}\n}}\n", text(repository))?;
    writeln!(out, "resource \"aws_ecr_repository\" {} {{", text(&label))?;
    writeln!(out, "  name = {}\n  image_tag_mutability = \"IMMUTABLE_WITH_EXCLUSION\"", text(repository))?;
    for tag in excluded_tags {
        writeln!(out, "  image_tag_mutability_exclusion_filter {{\n    filter = {}", text(tag))?;
        writeln!(out, "    filter_type = \"WILDCARD\"\n  }}")?;
    }
    writeln!(out, "}}\n")
}

/// Writes a string of Terraform: nothing in it is a template or ends it.
fn text(text: &str) -> String {
    let escaped = serde_json::Value::from(text).to_string();
    escaped.replace("${", "$${").replace("%{", "%%{")
}

fn label(name: &str) -> String {
    format!("patchwave_{}", word(name).to_ascii_lowercase())
}
