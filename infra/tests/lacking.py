"""Resource types that moto's CloudFormation does not know, or makes without some properties. They are made through the API.

The API takes the same properties as CloudFormation, and boto3 refuses a property that is misspelt or of another type.
"""

import json

import boto3
import moto.cloudformation.parsing  # noqa: F401  moto's own models, which those here stand before
from botocore.validate import ParamValidator
from moto.core.common_models import CloudFormationModel


def _lacking(type_name, create):
    """Makes a model of which moto learns by being a subclass. `create` returns the resource's Ref and its attributes."""

    class Model(CloudFormationModel):
        # moto reads the service out of it.
        __module__ = "moto.cloudformation.lacking"

        def __init__(self, physical_resource_id, attributes):
            self.physical_resource_id = physical_resource_id
            self._attributes = attributes

        @staticmethod
        def cloudformation_name_type():
            return ""

        @staticmethod
        def cloudformation_type():
            return type_name

        @classmethod
        def has_cfn_attr(cls, attr):
            return True

        def get_cfn_attribute(self, name):
            return self._attributes[name]

        @classmethod
        def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
            properties = json.loads(json.dumps(cloudformation_json["Properties"]))

            def client(service):
                return boto3.client(service, region_name=region_name)

            return cls(*create(client, resource_name, properties))

    return Model


def _schedule_group(client, _, properties):
    arn = client("scheduler").create_schedule_group(**properties)["ScheduleGroupArn"]
    return properties["Name"], {"Arn": arn}


def _schedule(client, name, properties):
    name = properties.pop("Name", name)
    arn = client("scheduler").create_schedule(Name=name, **properties)["ScheduleArn"]
    return name, {"Arn": arn}


def _alarm(client, name, properties):
    client("cloudwatch").put_metric_alarm(AlarmName=name, **properties)
    return name, {}


def _queue_policy(client, name, properties):
    for queue in properties["Queues"]:
        client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(properties["PolicyDocument"])})
    return name, {}


def _bucket_policy(client, name, properties):
    client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"]))
    return name, {}


def _invoke_config(client, name, properties):
    properties.pop("Qualifier")
    client("lambda").put_function_event_invoke_config(**properties)
    return name, {}


def _table(client, name, properties):
    dynamodb = client("dynamodb")
    expires = properties.pop("TimeToLiveSpecification")
    recovery = properties.pop("PointInTimeRecoverySpecification")
    encryption = properties.pop("SSESpecification")
    encryption["Enabled"] = encryption.pop("SSEEnabled")
    made = dynamodb.create_table(TableName=name, SSESpecification=encryption, **properties)
    dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=expires)
    dynamodb.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)
    return name, {"Arn": made["TableDescription"]["TableArn"]}


def _bucket(client, name, properties):
    s3, name = client("s3"), name.lower()
    ownership = properties.pop("OwnershipControls")
    s3.create_bucket(Bucket=name, ObjectOwnership=ownership["Rules"][0]["ObjectOwnership"])
    encryption = properties.pop("BucketEncryption")["ServerSideEncryptionConfiguration"]
    rules = [{"ApplyServerSideEncryptionByDefault": rule.pop("ServerSideEncryptionByDefault"), **rule} for rule in encryption]
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=properties.pop("VersioningConfiguration"))
    block = properties.pop("PublicAccessBlockConfiguration")
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
    for rule in properties.pop("LifecycleConfiguration")["Rules"]:
        rule.update(ID=rule.pop("Id"), Filter={})
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    assert not properties, f"nothing makes a bucket's {properties}"
    return name, {"Arn": f"arn:aws:s3:::{name}"}


def _bus_policy(client, name, properties):
    statement = {"Sid": properties["StatementId"], **properties["Statement"]}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client("events").put_permission(EventBusName=properties["EventBusName"], Policy=json.dumps(policy))
    return name, {}


def _topic_policy(client, name, properties):
    policy = json.dumps(properties["PolicyDocument"])
    for topic in properties["Topics"]:
        client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    return name, {}


def _subscription(client, _, properties):
    return client("sns").subscribe(**properties)["SubscriptionArn"], {}


def _pull_time_exclusion(client, name, properties):
    """moto has no such call, so botocore's model alone judges the properties."""
    model = client("ecr").meta.service_model.operation_model("RegisterPullTimeUpdateExclusion")
    wanted = {f"{key[0].lower()}{key[1:]}": value for key, value in properties.items()}
    report = ParamValidator().validate(wanted, model.input_shape)
    assert not report.has_errors(), report.generate_report()
    return properties["PrincipalArn"], {}


MODELS = [
    _lacking("AWS::ECR::PullTimeUpdateExclusion", _pull_time_exclusion),
    _lacking("AWS::DynamoDB::Table", _table),
    _lacking("AWS::S3::Bucket", _bucket),
    _lacking("AWS::Events::EventBusPolicy", _bus_policy),
    _lacking("AWS::SNS::Subscription", _subscription),
    _lacking("AWS::SNS::TopicPolicy", _topic_policy),
    _lacking("AWS::Scheduler::ScheduleGroup", _schedule_group),
    _lacking("AWS::Scheduler::Schedule", _schedule),
    _lacking("AWS::CloudWatch::Alarm", _alarm),
    _lacking("AWS::SQS::QueuePolicy", _queue_policy),
    _lacking("AWS::S3::BucketPolicy", _bucket_policy),
    _lacking("AWS::Lambda::EventInvokeConfig", _invoke_config),
]
