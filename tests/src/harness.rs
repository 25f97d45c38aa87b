//! An AWS account of fakes with the three functions of Patchwave in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::table;
use serde_json::{Value, json};

use crate::accounts::FakeAccounts;
use crate::awsjson;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::codepipeline::{Builder, Execution, Order, Pipelines, Recipe};
use crate::content;
use crate::ecr::Registry;
use crate::hierarchy;
use crate::http::Server;
use crate::moto::{Moto, REGION};
use crate::runtime::{Deadline, Function, FunctionError};
use crate::scanner::{Scanning, Vulnerability};
use crate::traffic::{Throttle, Traffic};

const TABLE: &str = "patchwave";
const BUCKET: &str = "patchwave-configuration";
const KEY: &str = "hierarchy.yaml";
/// The bus that receives the notices, and the queue that keeps them.
const BUS: &str = "patchwave";
/// How many hours ago the first version of every image was built: five days.
const AGE: i64 = 120;

/// The name that [`FakeAccounts`] gives to the account whose requests the functions sign.
pub const ACCOUNT: &str = "harness";

/// What a test can set up differently.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The text of the hierarchy file.
    pub hierarchy: String,
    pub scanning: Scanning,
    pub mode: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self { hierarchy: hierarchy::SAMPLE.to_owned(), scanning: Scanning::Enhanced, mode: "enforce" }
    }
}

/// An AWS account with the images of a hierarchy and with Patchwave.
pub struct Harness {
    pub recipes: Vec<Recipe>,
    pub hierarchy: Hierarchy,
    pub registry: Arc<Registry>,
    pub pipelines: Arc<Pipelines>,
    pub bus: Arc<Bus>,
    /// The clock of all fakes.
    pub clock: Arc<Clock>,
    /// The deployments, and what Inspector says about them, in [`ACCOUNT`].
    pub accounts: Arc<FakeAccounts>,
    /// The calls to the registry, the pipelines and the table.
    pub traffic: Arc<Traffic>,
    /// The reports that the functions returned, in order. Batches return none.
    pub reports: Vec<Value>,
    /// Images whose builds fail.
    pub failing_builds: BTreeSet<String>,
    /// Texts that name the errors which a test expects. Any other error of a report fails it.
    pub expected_errors: BTreeSet<&'static str>,
    functions: BTreeMap<&'static str, Function>,
    settings: BTreeMap<String, String>,
    _servers: [Server; 3],
    accounts_server: Server,
    moto: Moto,
}

impl Harness {
    /// Starts the fakes and builds a first version of every image on its parent. No event is on the
    /// bus.
    pub async fn start(setup: Setup) -> Self {
        Self::start_with(setup, |_| ()).await
    }

    /// The same, with changed recipes.
    pub async fn start_with(setup: Setup, change: impl Fn(&mut Recipe)) -> Self {
        let moto = Moto::start().await;
        let clock = Arc::new(Clock::default());
        let bus = Arc::new(Bus::new(Arc::clone(&clock)));
        let registry =
            Arc::new(Registry::new(moto.url(), setup.scanning, Arc::clone(&clock), Arc::clone(&bus)));
        let hierarchy = hierarchy::load(&setup.hierarchy);
        let mut recipes = hierarchy::recipes(&hierarchy);
        recipes.iter_mut().for_each(change);
        let builder = Builder::new(Arc::clone(&registry), Arc::clone(&clock));
        let pipelines = Pipelines::new(recipes.clone(), builder, Arc::clone(&clock), Arc::clone(&bus));
        let pipelines = Arc::new(pipelines);
        let traffic = Arc::new(Traffic::default());
        let servers = [
            awsjson::serve(Arc::clone(&registry), Arc::clone(&traffic)).await,
            awsjson::serve(Arc::clone(&pipelines), Arc::clone(&traffic)).await,
            moto.front("dynamodb", Arc::clone(&traffic)).await,
        ];
        registry.serve_at(&servers[0].url());
        moto.call("dynamodb", "DynamoDB_20120810.CreateTable", &table::create_table(TABLE))
            .await
            .expect("moto takes our table");
        create_bus(&moto).await;
        moto.put_object(BUCKET, KEY, &setup.hierarchy).await;
        let mut settings = settings(&moto, &servers, setup.mode);
        let accounts = Arc::new(FakeAccounts::default());
        let accounts_server = accounts.serve().await;
        settings.insert("AWS_ENDPOINT_URL_INSPECTOR2".to_owned(), accounts_server.url());
        let mut harness = Self {
            recipes,
            hierarchy,
            registry,
            pipelines,
            bus,
            clock,
            traffic,
            accounts,
            reports: Vec::new(),
            failing_builds: BTreeSet::new(),
            expected_errors: BTreeSet::new(),
            functions: BTreeMap::new(),
            settings,
            _servers: servers,
            accounts_server,
            moto,
        };
        let url = harness.accounts_server.url();
        harness.set_survey_endpoint(&url);
        harness.build_first_versions().await;
        harness
    }

    /// Sets an environment variable of functions that start from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// Makes functions that start from now on survey the services at `url`.
    pub fn set_survey_endpoint(&mut self, url: &str) {
        for service in ["ECS", "EKS", "LAMBDA", "BATCH", "STS"] {
            self.settings.insert(format!("AWS_ENDPOINT_URL_{service}"), url.to_owned());
        }
    }

    async fn build_first_versions(&mut self) {
        self.clock.set_back(AGE);
        for recipe in &self.recipes {
            self.registry.create_repository(&recipe.repository).await.expect("the repository is new");
            let order = Order { execution: "00000000-first".into(), ..Order::default() };
            self.pipelines.builder().build(recipe, &order).await.expect("first versions build");
        }
        self.clock.set_right();
        self.bus.take();
        self.traffic.begin(Throttle::Never);
    }

    /// Returns moto, which plays the services without a fake of their own.
    pub fn moto(&self) -> &Moto {
        &self.moto
    }

    /// Returns the environment variables of the functions.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Publishes a critical vulnerability of the first version of a package, and the version that
    /// fixes it, if any.
    ///
    /// Enhanced scanning finds it at once and emits a finding for every platform manifest that
    /// carries it.
    pub fn disclose(&self, id: &str, package: &str, fixed_in: Option<&str>) {
        if let Some(fixed) = fixed_in {
            self.pipelines.builder().publish(package, fixed);
        }
        self.registry.disclose(Vulnerability {
            id: id.to_owned(),
            package: package.to_owned(),
            affects: "1.0.0".to_owned(),
            fixed_in: fixed_in.map(str::to_owned),
            severity: "CRITICAL".to_owned(),
            known_since: self.clock.now(),
        });
    }

    /// Scans the current version of every image again. That emits an event for each platform.
    pub async fn scan_everything(&self) {
        for recipe in &self.recipes {
            let current = self.current(&recipe.image).await;
            self.registry.scan_version(&recipe.repository, &current);
        }
    }

    /// Returns the digest of an image's current version.
    pub async fn current(&self, image: &str) -> String {
        let recipe = self.recipe(image);
        let (repository, line) = (&recipe.repository, recipe.line());
        match self.registry.tagged(repository, line).await {
            Some(digest) => digest,
            None => self.registry.tagged_with_prefix(repository, line).await.pop().unwrap_or_default(),
        }
    }

    /// Returns the platform manifests of an image's current version.
    pub async fn manifests(&self, image: &str) -> Vec<String> {
        let current = self.current(image).await;
        let index = self.registry.document(&self.recipe(image).repository, &current).unwrap_or_default();
        content::platforms(&index).into_values().collect()
    }

    /// Returns the vulnerabilities that a scanner finds in the current version of an image.
    pub async fn findings(&self, image: &str) -> BTreeSet<String> {
        let repository = &self.recipe(image).repository;
        let manifests = self.manifests(image).await;
        manifests.iter().flat_map(|manifest| self.registry.vulnerabilities_in(repository, manifest)).collect()
    }

    /// Returns the recipe of an image.
    pub fn recipe(&self, image: &str) -> &Recipe {
        self.recipes.iter().find(|recipe| recipe.image == image).unwrap_or_else(|| panic!("no image {image}"))
    }

    /// Returns the `from` parent of an image, if it is in the hierarchy.
    pub fn parent(&self, image: &str) -> Option<String> {
        let id: ImageId = image.parse().expect("recipes have ids of the hierarchy");
        let mut edges = self.hierarchy.parents(&id);
        let from = edges.find(|edge| edge.kind == patchwave::hierarchy::ParentKind::From);
        from.map(|edge| edge.image.id.to_string())
    }

    /// Returns how many builds of each image were started.
    pub fn builds(&self) -> BTreeMap<String, usize> {
        self.pipelines.executions().into_iter().fold(BTreeMap::new(), |mut builds, execution| {
            *builds.entry(execution.image).or_default() += 1;
            builds
        })
    }

    /// Returns the entries of one field of all reports, such as `started` or `proofs`.
    pub fn reported(&self, field: &str) -> Vec<&Value> {
        self.reports.iter().filter_map(|report| report[field].as_array()).flatten().collect()
    }

    /// Delivers an event to the function that its rule names, and returns the report.
    pub async fn deliver(&mut self, event: &Value) -> Value {
        let report = self.invoke(target(event), event).await;
        let report = report.unwrap_or_else(|error| panic!("{event}: {error:?}"));
        self.check_errors(&report, target(event));
        self.reports.push(report.clone());
        report
    }

    /// Delivers events as an SQS batch. Returns the ids of the messages that failed, which are
    /// their positions in the batch.
    pub async fn deliver_batch(&mut self, function: &'static str, bodies: &[String]) -> Vec<String> {
        let answer = self.invoke(function, &batch(bodies)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{function}: {error:?}"));
        let failures = answer["batchItemFailures"].as_array().expect("a batch gets a batch response");
        failures.iter().filter_map(|failure| failure["itemIdentifier"].as_str()).map(str::to_owned).collect()
    }

    /// Delivers all events at once, each to its own instance of the function.
    pub async fn deliver_at_once(&mut self, events: Vec<Value>) {
        let mut deliveries = tokio::task::JoinSet::new();
        for event in events {
            let settings = self.settings.clone();
            deliveries.spawn(async move {
                let mut function = Function::start(target(&event), &settings, Deadline::Far).await;
                function.invoke(&event).await
            });
        }
        for report in deliveries.join_all().await {
            self.reports.push(report.expect("every instance answers"));
        }
    }

    /// Invokes the function of the tick, when all that waits for a time is due.
    pub async fn tick(&mut self) -> Value {
        self.let_time_pass().await;
        self.scheduled("rebuild-fanout").await
    }

    /// Invokes the function of the sweep.
    pub async fn sweep(&mut self) -> Value {
        self.scheduled("inventory").await
    }

    /// Brings the times of the schedule forward: they are hours ahead, and the functions read the
    /// machine's clock.
    async fn let_time_pass(&self) {
        for mut item in self.items().await {
            if item["queue"]["S"] != "recheck" {
                continue;
            }
            let past = "1970-01-01T00:00:00.000Z";
            let record = item["record"]["S"].as_str().and_then(|json| serde_json::from_str(json).ok());
            let Some(mut record): Option<Value> = record else { continue };
            record["recheckAt"] = past.into();
            item["record"] = json!({ "S": record.to_string() });
            item["rank"] = json!({ "S": past });
            let put = json!({ "TableName": "patchwave", "Item": item });
            let written = self.moto.call("dynamodb", "DynamoDB_20120810.PutItem", &put).await;
            written.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        }
    }

    async fn scheduled(&mut self, function: &'static str) -> Value {
        let event = self.bus.event("aws.events", "Scheduled Event", &[], json!({}));
        let report =
            self.invoke(function, &event).await.unwrap_or_else(|error| panic!("{function}: {error:?}"));
        self.check_errors(&report, function);
        self.reports.push(report.clone());
        report
    }

    /// Fails if a report has an error that no expected text names.
    fn check_errors(&self, report: &Value, function: &str) {
        let is_expected = |error: &&Value| {
            let message = error["message"].as_str().unwrap_or_default();
            self.expected_errors.iter().any(|text| message.contains(text))
        };
        let errors = report["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let unexpected: Vec<&Value> = errors.iter().filter(|error| !is_expected(error)).collect();
        assert!(unexpected.is_empty(), "{function}: {unexpected:?}");
    }

    /// Invokes a function. It starts with its first invocation and then stays warm.
    pub async fn invoke(&mut self, name: &'static str, payload: &Value) -> Result<Value, FunctionError> {
        if !self.functions.contains_key(name) {
            let function = Function::start(name, &self.settings, Deadline::Far).await;
            self.functions.insert(name, function);
        }
        let function = self.functions.get_mut(name).expect("it was just started");
        function.invoke(payload).await
    }

    /// Returns the notices that reached the bus since the last call, in any order.
    pub async fn notices(&self) -> Vec<Value> {
        let queue = json!({ "QueueUrl": queue_url(&self.moto), "MaxNumberOfMessages": 10 });
        let mut notices = Vec::new();
        loop {
            let answer =
                self.moto.call("sqs", "AmazonSQS.ReceiveMessage", &queue).await.expect("moto has queues");
            let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() {
                return notices;
            }
            for message in messages {
                let event: Value = serde_json::from_str(message["Body"].as_str().unwrap_or_default())
                    .expect("EventBridge sends JSON");
                notices.push(event["detail"].clone());
                let received =
                    json!({ "QueueUrl": queue_url(&self.moto), "ReceiptHandle": message["ReceiptHandle"] });
                self.moto.call("sqs", "AmazonSQS.DeleteMessage", &received).await.expect("it was received");
            }
        }
    }

    /// Returns all items of the table.
    pub async fn items(&self) -> Vec<Value> {
        let table = json!({ "TableName": TABLE });
        let answer = self.moto.call("dynamodb", "DynamoDB_20120810.Scan", &table).await;
        answer.expect("moto scans")["Items"].as_array().cloned().unwrap_or_default()
    }

    /// Returns what a function has logged.
    pub fn log(&self, name: &str) -> Vec<String> {
        self.functions.get(name).map(Function::log).unwrap_or_default()
    }

    /// Ends an execution with success, unless the builds of its image fail.
    pub async fn end_build(&self, execution: &Execution) {
        if self.failing_builds.contains(&execution.image) {
            self.pipelines.fail(&execution.id);
        } else {
            self.pipelines.finish(&execution.id).await;
        }
    }
}

/// Creates the bus for notices, and a queue that receives them.
async fn create_bus(moto: &Moto) {
    let queue_arn = format!("arn:aws:sqs:{REGION}:{}:{BUS}", crate::moto::ACCOUNT);
    let pattern = json!({ "source": ["patchwave"], "detail-type": ["Patchwave Root Cause"] });
    for (service, target, input) in [
        ("sqs", "AmazonSQS.CreateQueue", json!({ "QueueName": BUS })),
        ("events", "AWSEvents.CreateEventBus", json!({ "Name": BUS })),
        (
            "events",
            "AWSEvents.PutRule",
            json!({ "Name": BUS, "EventBusName": BUS, "EventPattern": pattern.to_string() }),
        ),
        (
            "events",
            "AWSEvents.PutTargets",
            json!({ "Rule": BUS, "EventBusName": BUS, "Targets": [{ "Id": "queue", "Arn": queue_arn }] }),
        ),
    ] {
        moto.call(service, target, &input).await.unwrap_or_else(|refusal| panic!("{target}: {refusal:?}"));
    }
}

fn queue_url(moto: &Moto) -> String {
    format!("{}/{}/{BUS}", moto.url(), crate::moto::ACCOUNT)
}

/// Returns the function to which the rules of the template send an event.
pub fn target(event: &Value) -> &'static str {
    match event["detail-type"].as_str().unwrap_or_default() {
        "ECR Image Scan" | "Inspector2 Scan" | "Inspector2 Finding" | "Inspector2 Coverage" => {
            "scan-complete"
        }
        _ => "rebuild-fanout",
    }
}

/// Returns the hold of an image in a report.
pub fn held<'r>(report: &'r Value, image: &str) -> &'r Value {
    let held = report["held"].as_array().map(Vec::as_slice).unwrap_or_default();
    held.iter().find(|held| held["image"] == image).unwrap_or_else(|| panic!("{image} is not held: {report}"))
}

/// Makes an SQS batch of message bodies. The id of a message is its position.
pub fn batch(bodies: &[String]) -> Value {
    let record = |(place, body): (usize, &String)| {
        json!({
            "messageId": place.to_string(),
            "receiptHandle": "handle",
            "body": body,
            "attributes": { "ApproximateReceiveCount": "1" },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:patchwave",
            "awsRegion": REGION,
        })
    };
    json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() })
}

fn settings(
    moto: &Moto,
    [ecr, codepipeline, dynamodb]: &[Server; 3],
    mode: &str,
) -> BTreeMap<String, String> {
    [
        ("AWS_ACCESS_KEY_ID", "harness".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "harness".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ENDPOINT_URL", moto.url().to_owned()),
        ("AWS_ENDPOINT_URL_ECR", ecr.url()),
        ("AWS_ENDPOINT_URL_CODEPIPELINE", codepipeline.url()),
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url()),
        ("PATCHWAVE_HIERARCHY", format!("s3://{BUCKET}/{KEY}")),
        ("PATCHWAVE_TABLE", TABLE.to_owned()),
        ("PATCHWAVE_MODE", mode.to_owned()),
        ("PATCHWAVE_EVENT_BUS", BUS.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
