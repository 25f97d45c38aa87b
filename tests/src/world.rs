//! The whole of it: the organisation on the fakes, and the three functions that look after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patchwave::hierarchy::Hierarchy;
use patchwave::image::ImageId;
use patchwave::table;
use serde_json::{Value, json};

use crate::awsjson;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::codepipeline::{Builder, Execution, Order, Pipelines, Recipe};
use crate::content;
use crate::ecr::Registry;
use crate::estate::Estate;
use crate::http::Server;
use crate::moto::{Moto, REGION};
use crate::organisation;
use crate::runtime::{Deadline, Function, FunctionError};
use crate::scanner::{Scanning, Vulnerability};
use crate::traffic::{Throttle, Traffic};

const TABLE: &str = "patchwave";
const BUCKET: &str = "patchwave-configuration";
const KEY: &str = "hierarchy.yaml";
/// The bus that notifications go to, and the queue that keeps them.
const BUS: &str = "patchwave";
/// How long ago the images were built that the organisation starts with, in hours: five days.
const AGE: i64 = 120;

/// The account that signs with the harness's key, as the [`Estate`] names it.
pub const ACCOUNT: &str = "harness";

/// How the organisation's world is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The hierarchy file.
    pub hierarchy: String,
    /// Which scanner the registry uses.
    pub scanning: Scanning,
    /// `PATCHWAVE_MODE`.
    pub mode: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self { hierarchy: organisation::HIERARCHY.to_owned(), scanning: Scanning::Enhanced, mode: "enforce" }
    }
}

/// The organisation's AWS account, with Patchwave in it.
pub struct World {
    /// What the images' builds are like.
    pub recipes: Vec<Recipe>,
    /// The hierarchy that the functions read.
    pub hierarchy: Hierarchy,
    /// ECR.
    pub registry: Arc<Registry>,
    /// CodePipeline.
    pub pipelines: Arc<Pipelines>,
    /// EventBridge.
    pub bus: Arc<Bus>,
    /// The clock of them all.
    pub clock: Arc<Clock>,
    /// What runs, and what Inspector says of it. Its account is [`ACCOUNT`].
    pub estate: Arc<Estate>,
    /// What they were asked for, the table too.
    pub traffic: Arc<Traffic>,
    /// The reports that the functions returned, in order; of batches there are none.
    pub reports: Vec<Value>,
    /// Images whose builds fail.
    pub broken: BTreeSet<String>,
    functions: BTreeMap<&'static str, Function>,
    settings: BTreeMap<String, String>,
    _servers: [Server; 3],
    runs: Server,
    moto: Moto,
}

impl World {
    /// Builds the account: a first version of every image, each on top of the other, a table, a bucket, no events.
    pub async fn start(setup: Setup) -> Self {
        Self::start_with(setup, |_| ()).await
    }

    /// The same, with recipes that are a little different.
    pub async fn start_with(setup: Setup, change: impl Fn(&mut Recipe)) -> Self {
        let moto = Moto::start().await;
        let clock = Arc::new(Clock::default());
        let bus = Arc::new(Bus::new(Arc::clone(&clock)));
        let registry =
            Arc::new(Registry::new(moto.url(), setup.scanning, Arc::clone(&clock), Arc::clone(&bus)));
        let hierarchy = organisation::hierarchy(&setup.hierarchy);
        let mut recipes = organisation::recipes(&hierarchy);
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
        moto.call("dynamodb", "DynamoDB_20120810.CreateTable", &table::create_table(TABLE))
            .await
            .expect("moto takes our table");
        listen(&moto).await;
        moto.put_object(BUCKET, KEY, &setup.hierarchy).await;
        let mut settings = settings(&moto, &servers, setup.mode);
        let estate = Arc::new(Estate::default());
        let runs = estate.serve().await;
        settings.insert("AWS_ENDPOINT_URL_INSPECTOR2".to_owned(), runs.url());
        let mut world = Self {
            recipes,
            hierarchy,
            registry,
            pipelines,
            bus,
            clock,
            traffic,
            estate,
            reports: Vec::new(),
            broken: BTreeSet::new(),
            functions: BTreeMap::new(),
            settings,
            _servers: servers,
            runs,
            moto,
        };
        let url = world.runs.url();
        world.look_at(&url);
        world.build_first_versions().await;
        world
    }

    /// Lets functions that start from now on look at `url` for what runs.
    pub fn look_at(&mut self, url: &str) {
        for service in ["ECS", "EKS", "LAMBDA", "BATCH", "STS"] {
            self.settings.insert(format!("AWS_ENDPOINT_URL_{service}"), url.to_owned());
        }
    }

    async fn build_first_versions(&mut self) {
        self.clock.go_back(AGE);
        for recipe in &self.recipes {
            self.registry.create_repository(&recipe.repository).await.expect("the repository is new");
            let order = Order { execution: "00000000-first".into(), ..Order::default() };
            self.pipelines.builder().build(recipe, &order).await.expect("first versions build");
        }
        self.clock.be_right();
        self.bus.take();
        self.traffic.begin(Throttle::Never);
    }

    /// Returns what plays the services that have no fake of their own.
    pub fn moto(&self) -> &Moto {
        &self.moto
    }

    /// Returns what a function finds in its environment.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Publishes a critical vulnerability of a package's first version, with the version that fixes it if there is one.
    ///
    /// Enhanced scanning finds it at once and emits a finding for every platform manifest that carries it.
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

    /// Scans the current version of every image again, which emits an event for each platform.
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

    /// Returns what a scanner finds in an image's current version: vulnerabilities, each once.
    pub async fn findings(&self, image: &str) -> BTreeSet<String> {
        let repository = &self.recipe(image).repository;
        let manifests = self.manifests(image).await;
        manifests.iter().flat_map(|manifest| self.registry.vulnerabilities_in(repository, manifest)).collect()
    }

    /// Returns the recipe of an image.
    pub fn recipe(&self, image: &str) -> &Recipe {
        self.recipes.iter().find(|recipe| recipe.image == image).unwrap_or_else(|| panic!("no image {image}"))
    }

    /// Returns the `from` parent of an image, if it is one of ours.
    pub fn parent(&self, image: &str) -> Option<String> {
        let id: ImageId = image.parse().expect("recipes have ids of the hierarchy");
        let mut edges = self.hierarchy.parents(&id);
        let from = edges.find(|edge| edge.kind == patchwave::hierarchy::ParentKind::From);
        from.map(|edge| edge.image.id.to_string())
    }

    /// Returns how often each image was started.
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
        assert_eq!(report["errors"], json!([]), "{event}");
        self.reports.push(report.clone());
        report
    }

    /// Delivers events as an SQS batch, and returns the ids of the messages that failed: their places in the batch.
    pub async fn deliver_batch(&mut self, function: &'static str, bodies: &[String]) -> Vec<String> {
        let answer = self.invoke(function, &batch(bodies)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{function}: {error:?}"));
        let failures = answer["batchItemFailures"].as_array().expect("a batch gets a batch response");
        failures.iter().filter_map(|failure| failure["itemIdentifier"].as_str()).map(str::to_owned).collect()
    }

    /// Delivers each event to an instance of its own, all at once.
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

    /// Makes a tick.
    pub async fn tick(&mut self) -> Value {
        self.scheduled("rebuild-fanout").await
    }

    /// Makes a sweep.
    pub async fn sweep(&mut self) -> Value {
        self.scheduled("inventory").await
    }

    async fn scheduled(&mut self, function: &'static str) -> Value {
        let event = self.bus.event("aws.events", "Scheduled Event", &[], json!({}));
        let report =
            self.invoke(function, &event).await.unwrap_or_else(|error| panic!("{function}: {error:?}"));
        assert_eq!(report["errors"], json!([]), "{function}");
        self.reports.push(report.clone());
        report
    }

    /// Invokes a function, which starts with its first invocation and stays warm.
    pub async fn invoke(&mut self, name: &'static str, payload: &Value) -> Result<Value, FunctionError> {
        if !self.functions.contains_key(name) {
            let function = Function::start(name, &self.settings, Deadline::Far).await;
            self.functions.insert(name, function);
        }
        let function = self.functions.get_mut(name).expect("it was just started");
        function.invoke(payload).await
    }

    /// Returns the notices that reached the bus since the last look, in any order.
    pub async fn told(&self) -> Vec<Value> {
        let queue = json!({ "QueueUrl": queue_url(&self.moto), "MaxNumberOfMessages": 10 });
        let mut told = Vec::new();
        loop {
            let answer =
                self.moto.call("sqs", "AmazonSQS.ReceiveMessage", &queue).await.expect("moto has queues");
            let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() {
                return told;
            }
            for message in messages {
                let event: Value = serde_json::from_str(message["Body"].as_str().unwrap_or_default())
                    .expect("EventBridge sends JSON");
                told.push(event["detail"].clone());
                let received =
                    json!({ "QueueUrl": queue_url(&self.moto), "ReceiptHandle": message["ReceiptHandle"] });
                self.moto.call("sqs", "AmazonSQS.DeleteMessage", &received).await.expect("it was received");
            }
        }
    }

    /// Returns what a function has logged.
    pub fn log(&self, name: &str) -> Vec<String> {
        self.functions.get(name).map(Function::log).unwrap_or_default()
    }

    /// Ends an execution: with success, unless its image is broken.
    pub async fn end(&self, execution: &Execution) {
        if self.broken.contains(&execution.image) {
            self.pipelines.fail(&execution.id);
        } else {
            self.pipelines.finish(&execution.id).await;
        }
    }
}

/// Makes the bus for notifications, and a queue that listens to it.
async fn listen(moto: &Moto) {
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

/// Returns the function that the rules of the template send an event to.
pub fn target(event: &Value) -> &'static str {
    match event["detail-type"].as_str().unwrap_or_default() {
        "ECR Image Scan" | "Inspector2 Scan" | "Inspector2 Finding" | "Inspector2 Coverage" => {
            "scan-complete"
        }
        _ => "rebuild-fanout",
    }
}

/// Makes an SQS batch of message bodies; a message's id is its place.
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
