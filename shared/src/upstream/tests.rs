use super::*;

fn at(minutes: u32) -> Timestamp {
    Span::minutes(minutes).after("2026-03-01T00:00:00Z".parse().unwrap())
}

fn digest(n: u64) -> Digest {
    format!("sha256:{n:064x}").parse().unwrap()
}

fn tag() -> ImageId {
    "docker.io/library/debian:12".parse().unwrap()
}

fn described(amd64: u64, arm64: u64) -> Described {
    let platform = |name: &str, n| (name.parse::<Platform>().unwrap(), digest(n));
    Described {
        platforms: BTreeMap::from([platform("linux/amd64", amd64), platform("linux/arm64", arm64)]),
        built_at: None,
    }
}

fn read_once() -> Tracked {
    let mut tag = Tracked::default();
    assert!(!tag.saw(&digest(1), at(0)), "what was never seen is described first");
    tag.describe(digest(1), described(10, 20), at(0));
    tag
}

#[test]
fn what_is_seen_first_is_no_change() {
    let tag = read_once();
    assert!(!tag.unplanned && tag.contents.len() == 1);
    assert_eq!(tag.current().unwrap().since, at(0));
}

#[test]
fn a_new_attestation_is_no_change() {
    let mut tag = read_once();
    tag.describe(digest(2), described(10, 20), at(60));
    assert!(!tag.unplanned && tag.contents.len() == 1);
    let current = tag.current().unwrap();
    assert!(current.is_named_by(&digest(1)) && current.is_named_by(&digest(2)));
    assert_eq!(current.since, at(0));
    for n in 100..200 {
        tag.describe(digest(n), described(10, 20), at(60));
    }
    assert_eq!(tag.current().unwrap().digests.len(), MOST_DIGESTS);
}

#[test]
fn a_new_platform_manifest_is_a_change_and_a_tag_that_goes_back_is_one_too() {
    let mut tag = read_once();
    tag.describe(digest(2), described(11, 20), at(60));
    assert!(tag.unplanned);
    assert_eq!(tag.at(at(59)).unwrap().since, at(0));
    tag.unplanned = false;
    assert!(tag.saw(&digest(1), at(120)), "it is known, so nothing is read");
    assert!(tag.unplanned && tag.contents.len() == 3);
    let (first, last) = (&tag.contents[0], tag.current().unwrap());
    assert_eq!((last.since, &last.platforms), (at(120), &first.platforms));
}

#[test]
fn contents_are_compared_on_the_platforms_that_a_child_uses() {
    let mut tag = read_once();
    tag.describe(digest(2), described(11, 20), at(60));
    let [before, after] = &tag.contents[..] else { panic!("two") };
    let platforms =
        |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<Platform>>();
    assert!(before.same_for(after, platforms(&["linux/arm64"]).iter()));
    assert!(!before.same_for(after, platforms(&["linux/arm64", "linux/amd64"]).iter()));
    assert!(!before.same_for(after, platforms(&[Platform::UNNAMED]).iter()));
}

#[test]
fn what_could_not_be_read_changes_nothing_and_is_named_after_hours() {
    let mut tag = read_once();
    let before = tag.contents.clone();
    tag.not_read("no answer".into(), at(60));
    tag.not_read("no answer".into(), at(120));
    assert_eq!((&tag.contents, tag.unplanned), (&before, false));
    assert!(tag.unread_for_long(at(120)).is_none());
    assert_eq!(tag.unread_for_long(at(240)).unwrap().since, at(60));
    assert!(tag.saw(&digest(1), at(241)));
    assert_eq!(tag.unread_for_long(at(1_000)), None);
}

#[test]
fn a_tag_that_is_gone_has_no_content_until_it_is_back() {
    let mut tag = read_once();
    tag.is_gone(at(60));
    tag.is_gone(at(120));
    assert_eq!((tag.current(), tag.absent_since), (None, Some(at(60))));
    assert!(tag.saw(&digest(1), at(180)));
    assert!(tag.current().is_some() && !tag.unplanned, "the same content is no change");
}

#[test]
fn a_tag_is_asked_about_once_an_hour_at_its_own_minute_and_more_often_after_a_change() {
    let asked_at =
        |tag: &Tracked, name: &ImageId| (0..=120).find(|minute| tag.is_due(name, at(*minute))).unwrap();
    assert!(Tracked::default().is_due(&tag(), at(0)));
    let mut minutes = std::collections::BTreeSet::new();
    for n in 0..60 {
        let name: ImageId = format!("docker.io/library/debian:{n}").parse().unwrap();
        let minute = asked_at(&read_once(), &name);
        assert!(minute <= 60, "{minute}");
        minutes.insert(minute);
        let mut later = read_once();
        later.asked_at = Some(at(minute));
        assert_eq!(asked_at(&later, &name), minute + 60);
    }
    assert!(minutes.len() > 25, "{minutes:?}");
    let mut moved = read_once();
    moved.describe(digest(2), described(11, 20), at(1));
    assert_eq!(asked_at(&moved, &tag()), 6);
}

#[test]
fn a_host_is_left_alone_as_long_as_it_asks_or_longer_each_time() {
    let mut host = Host::default();
    let pause = |host: &Host| Span::between(at(0), host.paused_until.unwrap());
    host.limited(Some(Span::hours(2)), "429".into(), at(0));
    assert_eq!(pause(&host), Span::hours(2));
    assert!(host.is_paused(at(119)).is_some() && host.is_paused(at(120)).is_none());
    host.limited(None, "429".into(), at(0));
    assert_eq!(pause(&host), Span::hours(2), "the second in a row");
    host.limited(Some(Span::days(300)), "429".into(), at(0));
    assert_eq!(pause(&host), LONGEST_PAUSE);
    host.answered(Some(90), at(0));
    assert_eq!(host, Host::default());
    host.failed("no answer".into(), at(0));
    assert_eq!(pause(&host), Span::minutes(15));
    host.failed("no answer".into(), at(0));
    assert_eq!(pause(&host), Span::minutes(30));
    host.answered(Some(4), at(0));
    assert_eq!(pause(&host), Span::hours(1), "the rest is for builds");
    assert_eq!(host.failures, 0);
}

const LONGEST_PAUSE: Span = Span::hours(6);
