//! The images of containers that AWS itself adds to tasks of ECS, with or without a digest. AWS
//! updates them.
//!
//! Their image shows it, and their name does not: whoever writes a task definition chooses names.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>

use crate::image::{Registry, Repository};

/// The accounts of AWS whose registries hold `GuardDuty`'s agent, one for each Region.
/// <https://docs.aws.amazon.com/guardduty/latest/ug/ecs-runtime-agent-ecr-image-uri.html>
const GUARD_DUTY: [&str; 33] = [
    "000014521398",
    "005257825471",
    "054037130133",
    "156041399949",
    "174946120834",
    "197869348890",
    "251357961535",
    "251508486986",
    "258348409381",
    "259886477082",
    "266869475730",
    "273192626886",
    "307168627858",
    "311141559934",
    "323658145986",
    "339712888787",
    "354763396469",
    "510637619217",
    "529164026651",
    "533107202818",
    "536382113932",
    "591436053604",
    "593207742271",
    "665651866788",
    "684579721401",
    "694911143906",
    "733349766148",
    "758426053663",
    "870907303882",
    "892757235363",
    "914738172881",
    "919611009337",
    "950823858135",
];
/// The repositories of the agent begin so.
const GUARD_DUTY_AGENT: &str = "aws-guardduty-agent";
/// The image of Service Connect's agent. ECS loads it itself; on Docker Hub only Docker could push
/// it.
const SERVICE_CONNECT: (&str, &str) = ("docker.io", "library/ecs-service-connect-agent");

/// Returns whether a repository holds images that AWS adds to tasks.
pub(super) fn are_of_aws(registry: &Registry, repository: &Repository) -> bool {
    let of_guard_duty = registry.ecr().is_some_and(|registry| GUARD_DUTY.contains(&registry.account()));
    of_guard_duty && repository.as_str().starts_with(GUARD_DUTY_AGENT)
        || (registry.as_str(), repository.as_str()) == SERVICE_CONNECT
}
