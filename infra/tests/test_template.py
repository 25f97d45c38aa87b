"""What can be said of the templates without deploying them."""

import json
import re
import subprocess
import sys
import tomllib

import cfn_guard_rs
import cfnlint.api
import pytest
from cfnlint.config import ManualArgs
from stack import FUNCTIONS, INFRA, ROOT, read, transformed

TEMPLATES = sorted(str(path.relative_to(INFRA)) for path in INFRA.rglob("*.yaml") if ".aws-sam" not in path.parts and is_template(path)) if False else None
