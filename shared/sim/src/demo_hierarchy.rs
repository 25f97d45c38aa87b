//! The hierarchy that `patchwave demo` and `patchwave requests` use by default.

/// The hierarchy file of a web shop: three tiers, several stable tags, diamonds, and one image for
/// each reason not to rebuild.
pub const DEMO_HIERARCHY: &str = include_str!("demo_hierarchy.yaml");

#[cfg(test)]
mod tests {
    use super::*;
    use patchwave::hierarchy::Hierarchy;

    #[test]
    fn the_demo_hierarchy_is_valid_and_has_36_images_or_more() {
        let hierarchy = Hierarchy::parse("demo_hierarchy.yaml", DEMO_HIERARCHY);
        assert!(hierarchy.map_err(|errors| errors.to_string()).unwrap().len() >= 36);
    }
}
