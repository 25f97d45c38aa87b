use patchwave::hierarchy::Hierarchy;

use super::*;

fn month(tags: usize, days: u32, most_gets: Option<u32>, seed: u64) -> Watched {
    UpstreamMonth { tags: UpstreamMonth::usual_tags(tags), days, most_gets, seed }.run().unwrap()
}

/// Sixty tags for thirty days are 43,200 hours of a tag.
#[test]
fn a_tag_costs_a_head_an_hour_and_a_get_for_each_new_index_and_never_a_list() {
    let watched = month(20, 10, None, 7);
    let hours = 20 * 10 * 24;
    let UpstreamRequests { heads, gets, limited, unanswered, .. } = watched.requests;
    assert!((hours..hours + hours / 10).contains(&heads), "{heads} of {hours}");
    assert!((watched.changes..heads / 20).contains(&gets), "{watched:?}");
    assert_eq!((limited, unanswered), (0, 0));
    assert!(watched.changes > 10, "{watched:?}");
    assert!(watched.slowest <= Span::minutes(75), "an hour and a tick: {:?}", watched.slowest);
    assert!(watched.polling.requests > 7 * heads && watched.listing.requests > 5 * heads, "{watched:?}");
    assert!(watched.polling.refused > 0);
}

#[test]
fn a_host_that_fails_or_limits_is_asked_less_and_what_was_known_stays_known() {
    let (calm, troubled) = (month(20, 10, None, 7), month(20, 10, Some(8), 7));
    assert!(troubled.requests.unanswered > 0, "{troubled:?}");
    assert!(troubled.requests.unanswered < 60, "a host backs off, and not each tag: {troubled:?}");
    assert_eq!(troubled.requests.limited, 0, "the last of a limit is left to builds");
    assert!(troubled.requests.heads < calm.requests.heads);
    let missed = calm.changes - troubled.changes.min(calm.changes);
    assert!(missed <= calm.changes / 2, "{missed} of {}", calm.changes);
    for (tag, kept) in &troubled.kept {
        assert!(!kept.contents.is_empty(), "{tag} was never read");
    }
}

#[test]
fn the_same_seed_is_the_same_month() {
    assert_eq!(month(8, 5, Some(20), 3), month(8, 5, Some(20), 3));
    assert_ne!(month(8, 5, None, 3).requests, month(8, 5, None, 4).requests);
}

#[test]
fn a_world_without_upstream_registries_asks_none() {
    let hierarchy = Hierarchy::parse("demo_hierarchy.yaml", crate::DEMO_HIERARCHY).unwrap();
    let mut simulation = crate::Simulation::new(hierarchy, 1);
    let until = Span::hours(2).after(simulation.now());
    simulation.run_until(until, &mut |_, _| ()).unwrap();
    assert_eq!(simulation.with_upstreams(|registries| registries.counts), UpstreamRequests::default());
}
