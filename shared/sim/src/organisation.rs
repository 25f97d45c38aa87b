//! An organisation to show Patchwave on.

/// The hierarchy file of a shop: three tiers, several stable tags, diamonds, and every kind of image that is not rebuilt.
pub const ORGANISATION: &str = include_str!("organisation.yaml");

#[cfg(test)]
mod tests {
    use super::*;
    use patchwave::hierarchy::Hierarchy;

    #[test]
    fn the_organisation_is_a_valid_hierarchy() {
        let hierarchy = Hierarchy::parse("organisation.yaml", ORGANISATION).map_err(|errors| errors.to_string());
        assert!(hierarchy.unwrap().len() >= 36);
    }
}
