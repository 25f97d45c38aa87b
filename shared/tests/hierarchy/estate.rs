//! The file of a whole organisation: registries, tiers' defaults, lines of environments, and teams'
//! parts.

use std::fmt::Write;

use patchwave::hierarchy::{Hierarchy, Line, Parent, PartTexts, Promotion, Registries, part_files};

use super::id;

const ESTATE: &str = r#"
version: 1
x-lines: &lines
  lines:
    - { tagPattern: "main-*" }
    - { environment: live, current: deployed }
    - { environment: trial, tag: trial }
    - { environment: stage, tagPattern: "stage-*" }
registries:
  home: { host: 111122223333.dkr.ecr.us-east-1.amazonaws.com, caches: { hub: docker.io } }
  west: { host: 111122223333.dkr.ecr.us-west-2.amazonaws.com, replicaOf: home }
  goods: { host: 222233334444.dkr.ecr.us-east-1.amazonaws.com, role: reader, externalId: shop }
approved:
  - { host: public.ecr.aws, repositories: ["eks-distro/*"] }
policy: { mode: enforce }
tiers:
  base: { pipeline: "{repository}" }
  application: { tagPattern: "main-*", pipeline: "{repository}", owner: shop }
owners: { shop: { notify: "arn:aws:sns:us-east-1:111122223333:shop" }, tills: { notify: "arn:aws:sns:us-east-1:111122223333:tills" } }
parts:
  tills: { file: teams/tills.yaml, repositories: ["tills/*"], pipelines: ["tills-*"], mayLoosen: [suppress] }
images:
  - { id: os, tier: base, repository: base/os, tags: ["1"], from: "111122223333.dkr.ecr.us-east-1.amazonaws.com/hub/library/debian:13" }
  - { id: os-arm, tier: base, repository: base/arm, tags: ["1"], from: "docker.io/library/debian:13", copyFrom: [tools] }
  - { id: tools, tier: platform, repository: tools, tags: ["1"], from: scratch, pipeline: tools }
  - { id: rt, tier: platform, repository: rt, tags: ["1"], from: { default: os, linux/arm64: os-arm }, pipeline: rt }
  - { tier: application, repository: apps/ledger, from: rt, pinned: true }
  - { id: cart, tier: application, registry: goods, repository: apps/cart, from: rt, tagPattern: { match: "v*", except: ["*-rc*"], order: version } }
  - { id: shop, tier: application, repository: apps/shop, from: rt, <<: *lines, pipeline: { name: shop, sources: [{ action: Source, type: COMMIT_ID }] } }
  - { id: old, tier: application, repository: apps/old, tags: [live], from: unknown }
inventory:
  regions: [us-east-1]
  role: reader
  externalId: shop
  accounts: [{ id: "444455556666", environment: live }, { id: "111122223333", environment: prod }]
"#;

const TILLS: &str = r#"
version: 1
images:
  - { tier: application, repository: tills/api, from: rt }
policy:
  suppress: [{ vulnerability: CVE-2026-1, images: ["tills/*"], until: 2026-12-31, reason: not reachable }]
"#;

fn load(tills: &str) -> Result<Hierarchy, String> {
    let parts = PartTexts::from([("teams/tills.yaml".to_owned(), Ok(tills.to_owned()))]);
    Hierarchy::parse_with_parts("estate.yaml", ESTATE, &parts).map_err(|errors| errors.to_string())
}

fn estate() -> Hierarchy {
    load(TILLS).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_file_of_an_organisation_loads_with_its_parts() {
    let estate = estate();
    assert_eq!(part_files(ESTATE), ["teams/tills.yaml"]);
    let image = |name: &str| estate.image(&id(name)).unwrap();
    let order: Vec<&str> = estate.images().map(|image| image.id.as_str()).collect();
    let place = |name: &str| order.iter().position(|id| *id == name).unwrap();
    assert!(place("tools") < place("os-arm"), "a base that copies from a platform image comes after it");
    assert_eq!(image("os").pipeline.as_ref().unwrap().name, "base-os");
    assert_eq!(image("os").from, image("os-arm").from, "the cache is its upstream registry");
    assert_eq!(image("rt").from, Parent::Image(id("os")));
    assert_eq!(image("rt").from_on.values().collect::<Vec<_>>(), [&Parent::Image(id("os-arm"))]);
    assert_eq!(image("cart").repository.as_str(), "222233334444.dkr.ecr.us-east-1.amazonaws.com/apps/cart");
    assert_eq!(image("cart").pipeline.as_ref().unwrap().name, "apps-cart");
    assert!(image("apps/ledger").pinned);
    assert_eq!(image("old").from, Parent::Unknown);
    assert_eq!(image("apps/ledger").owner.as_ref().unwrap().name, "shop");
    let tills = image("tills/api");
    assert_eq!(
        (tills.pipeline.as_ref().unwrap().name.as_str(), &tills.from),
        ("tills-api", &Parent::Image(id("rt")))
    );
    assert_eq!(tills.owner.as_ref().unwrap().name, "tills");
    assert_eq!(tills.policy.suppress.len(), 1);
    let roles: Vec<bool> = estate.inspected().accounts.iter().map(|account| account.role.is_some()).collect();
    assert_eq!(roles, [true, false], "Patchwave reads its own account without a role");
    let names: Vec<&str> =
        Registries::iter(estate.registries()).map(|registry| registry.name.as_str()).collect();
    assert_eq!(names, ["home", "goods", "west"]);
}

#[test]
fn lines_of_environments_have_ids_of_their_own() {
    let estate = estate();
    let line = |name: &str| estate.image(&id(name)).unwrap().line.clone();
    assert!(matches!(line("shop"), Line::Newest(_)));
    assert!(matches!(line("shop@live"), Line::Deployed { .. }));
    assert!(
        matches!(line("shop@trial"), Line::Promoted { by: Promotion::Tag(tag), .. } if tag.as_str() == "trial")
    );
    assert!(matches!(line("shop@stage"), Line::Promoted { by: Promotion::Newest(_), .. }));
}

#[test]
fn an_image_is_rebuilt_when_the_parent_of_one_platform_is() {
    let estate = estate();
    let children: Vec<&str> = estate.children(&id("os-arm")).map(|edge| edge.image.id.as_str()).collect();
    assert_eq!(children, ["rt"]);
}

#[test]
fn a_part_that_cannot_be_used_is_left_out_and_the_others_go_on() {
    // Another team, and an image of the main file that is built on one of the part's.
    let goods = "{ version: 1, images: [{ tier: application, repository: goods/api, from: rt }] }";
    let part = "  goods: { file: teams/goods.yaml, repositories: [\"goods/*\"], pipelines: [\"goods-*\"] }";
    let on = "  - { tier: application, repository: apps/on, from: tills/api, copyFrom: [tills/api] }";
    let main = ESTATE
        .replace("owners: {", "owners: { goods: ~,")
        .replace("parts:\n", &format!("parts:\n{part}\n"))
        .replace("images:\n", &format!("images:\n{on}\n"));
    let lenient = |tills: Result<String, String>| {
        let parts = PartTexts::from([
            ("teams/tills.yaml".to_owned(), tills),
            ("teams/goods.yaml".to_owned(), Ok(goods.to_owned())),
        ]);
        Hierarchy::parse_without_bad_parts("estate.yaml", &main, &parts).map_err(|errors| errors.to_string())
    };
    let good = lenient(Ok(TILLS.to_owned())).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(good.unread_parts(), []);
    assert!(good.image(&id("tills/api")).is_ok());
    let loose =
        "{ version: 1, images: [{ tier: application, repository: tills/api, from: rt, mode: observe }] }";
    for (tills, because) in [
        (Err("access is denied".to_owned()), "access is denied"),
        (Ok("{ version: 1, imags: [] }".to_owned()), "unknown key `imags`"),
        (Ok(loose.to_owned()), "add `observe` to its `mayLoosen`"),
    ] {
        let hierarchy = lenient(tills).unwrap_or_else(|errors| panic!("{errors}"));
        let [part] = hierarchy.unread_parts() else { panic!("{:?}", hierarchy.unread_parts()) };
        assert_eq!((part.owner.as_str(), part.file.as_str()), ("tills", "teams/tills.yaml"));
        assert!(part.because.contains(because), "{}", part.because);
        assert!(
            part.may_have(&"tills/api".parse().unwrap()) && !part.may_have(&"goods/api".parse().unwrap())
        );
        assert!(hierarchy.image(&id("tills/api")).is_err());
        assert!(hierarchy.image(&id("goods/api")).is_ok(), "the other team goes on");
        let on = hierarchy.image(&id("apps/on")).unwrap();
        assert_eq!((&on.from, on.copy_from.len()), (&Parent::Unknown, 0));
    }
    let main = main.replace("tier: base, repository: base/os", "tier: bas, repository: base/os");
    let bad = Hierarchy::parse_without_bad_parts("estate.yaml", &main, &PartTexts::new());
    assert!(bad.unwrap_err().to_string().contains("bas"), "the main file has no place to be left out of");
}

#[test]
fn a_part_claims_and_loosens_only_what_the_main_file_lets_it() {
    let errors = |tills: &str| load(tills).unwrap_err();
    let one = |image: &str| format!("{{ version: 1, images: [{image}] }}");
    for (tills, message) in [
        (
            one("{ tier: application, repository: apps/api, from: rt }"),
            "teams/tills.yaml:1:57: the repository apps/api is not one that the part `tills` may have",
        ),
        (
            one("{ tier: application, repository: tills/a, from: rt, pipeline: shop }"),
            "the pipeline shop is not one",
        ),
        (
            one("{ tier: application, repository: tills/a, from: rt, mode: observe }"),
            "add `observe` to its `mayLoosen`",
        ),
        (one("{ tier: application, repository: tills/a, from: rt, rebuild: never }"), "add `rebuild` to"),
        (
            one("{ tier: application, repository: tills/a, from: rt, rebuildAt: critical }"),
            "add `rebuildAt` to",
        ),
        (one("{ tier: application, repository: tills/a, from: rt, maxAge: 90d }"), "add `ages` to"),
        (one("{ tier: application, repository: tills/a, from: rt, quietPeriod: 9h }"), "add `waits` to"),
        (
            one("{ tier: application, repository: tills/a, from: rt, deadlines: { high: 90d } }"),
            "add `deadlines` to",
        ),
        (one("{ id: shop, tier: application, repository: tills/a, from: rt }"), "has the id `shop` too"),
        ("{ version: 1, images: [], owners: {} }".to_owned(), "unknown key `owners`"),
        (TILLS.replace("[\"tills/*\"]", "[\"apps/*\"]"), "matches no image"),
        (TILLS.replace("from: rt", "from: rtx"), "teams/tills.yaml:4:55: \"rtx\" is not an id"),
    ] {
        let found = errors(&tills);
        assert!(found.contains(message), "{message}: {found}");
    }
    assert!(
        load(&one("{ tier: application, repository: tills/a, from: rt, maxAge: 1d, rebuildAt: low }"))
            .is_ok()
    );
    let unread = Hierarchy::parse("estate.yaml", ESTATE).unwrap_err().to_string();
    assert!(unread.contains("estate.yaml:21:18: the part `teams/tills.yaml` cannot be read"), "{unread}");
}

#[test]
fn three_hundred_uniform_images_are_three_hundred_short_lines() {
    let mut yaml = String::from(
        "version: 1\nregistry: 111122223333.dkr.ecr.us-east-1.amazonaws.com\n\
         tiers: { application: { tagPattern: \"main-*\", pipeline: \"{repository}\" } }\nimages:\n  \
         - { id: os, tier: base, repository: os, tags: [x], from: scratch }\n",
    );
    for n in 0..300 {
        writeln!(yaml, "  - {{ tier: application, repository: apps/a{n}, from: os }}").unwrap();
    }
    let hierarchy = Hierarchy::parse("h.yaml", &yaml).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(hierarchy.len(), 301);
    assert_eq!(hierarchy.image(&id("apps/a7")).unwrap().pipeline.as_ref().unwrap().name, "apps-a7");
}
