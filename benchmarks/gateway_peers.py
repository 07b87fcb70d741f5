"""The gateways that ours is measured beside, each as its own documents say that it is run behind one engine.

nginx is taken from the path. The others come from the package registry, into one folder:

    for peer in pyvoy vllm-router "litellm[proxy]" tensorzero; do
        python3 -m venv FOLDER/${peer%%[*} && FOLDER/${peer%%[*}/bin/pip install "$peer"
    done

(`pyvoy` brings Envoy's own program; TensorZero's wheel carries its gateway, which is measured without its database.)
What is not there is left out.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Command = Callable[[Path, int, int], list[str]]
"""From a folder of its own, its port and the engine's: what starts it in the foreground."""

NGINX = """
daemon off; master_process off; worker_processes 1; pid {home}/pid; error_log {home}/errors;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 64k; tcp_nodelay on;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  upstream mock {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend in
  bind 127.0.0.1:{port}
  default_backend mock
backend mock
  http-reuse always
  server mock 127.0.0.1:{upstream}
"""
ENVOY = """
admin: {{address: {{pipe: {{path: {home}/admin}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          codec_type: HTTP1
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: mock, timeout: 600s}}}}]
  clusters:
  - name: mock
    type: STATIC
    load_assignment:
      cluster_name: mock
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
"""
LITELLM = """
model_list:
- model_name: mock
  litellm_params: {{model: openai/mock, api_base: "http://127.0.0.1:{upstream}/v1", api_key: x}}
- model_name: mock-p20000
  litellm_params: {{model: openai/mock-p20000, api_base: "http://127.0.0.1:{upstream}/v1", api_key: x}}
general_settings: {{master_key: sk-bench}}
"""
TENSORZERO = "".join(
    [
        "[gateway]\nobservability.enabled = false\ndisable_pseudonymous_usage_analytics = true\n",
        *(
            f'[models.{model}]\nrouting = ["mock"]\n[models.{model}.providers.mock]\ntype = "vllm"\n'
            f'model_name = "{model}"\napi_base = "http://127.0.0.1:{{upstream}}/v1/"\napi_key_location = "none"\n'
            for model in ("mock", "mock-p20000")
        ),
    ]
)


@dataclass(frozen=True)
class Gateway:
    """One that is measured: the command that starts it in the foreground, from a folder of its own."""

    name: str
    command: Command
    path: str = "/v1/chat/completions"
    models: str = ""
    """What stands before a model's name."""


def configured(program: str, template: str, *flags: str, name: str = "settings.yaml") -> Command:
    """A gateway that reads a file."""

    def command(home: Path, port: int, upstream: int) -> list[str]:
        written = home / name
        written.write_text(template.format(home=home, port=port, upstream=upstream))
        return [program, *(flag.format(settings=written, home=home, port=port) for flag in flags)]

    return command


def given(text: str) -> Gateway:
    """A gateway from the command line."""
    name, _, command = text.partition("=")
    return Gateway(
        name,
        lambda home, port, upstream: [
            part.replace("{port}", str(port)).replace("{upstream}", str(upstream)) for part in shlex.split(command)
        ],
    )


def peers(nginx: str | None = None, folder: Path | None = None) -> list[Gateway]:
    """Those that are here: nginx first, which ours is held against."""
    nginx, haproxy = nginx or shutil.which("nginx"), shutil.which("haproxy")
    found = []
    if nginx:
        found.append(Gateway("nginx", configured(nginx, NGINX, "-c", "{settings}", "-p", "{home}")))
    if haproxy:
        found.append(Gateway("haproxy", configured(haproxy, HAPROXY, "-f", "{settings}", "-db")))
    if folder is None:
        return found
    for envoy in sorted(folder.glob("pyvoy/lib/python*/site-packages/envoy/_bin/envoy")):
        flags = ("--config-path", "{settings}", "--concurrency", "1", "--disable-hot-restart", "--log-level", "off")
        found.append(Gateway("envoy", configured(str(envoy), ENVOY, *flags)))
    if (router := folder / "vllm-router/bin/vllm-router").exists():
        worker = "--worker-urls http://127.0.0.1:{upstream} --policy round_robin --log-level error"
        found.append(given(f"vllm-router={router} --host 127.0.0.1 --port {{port}} {worker}"))
    if (litellm := folder / "litellm/bin/litellm").exists():
        listening = ("--host", "127.0.0.1", "--port", "{port}")
        found.append(Gateway("litellm", configured(str(litellm), LITELLM, "--config", "{settings}", *listening)))
    if list(folder.glob("tensorzero/lib/python*/site-packages/tensorzero")):
        program = str(Path(__file__).with_name("tensorzero_served.py"))
        python = str(folder / "tensorzero/bin/python")
        start = configured(python, TENSORZERO, program, "{settings}", "{home}/port", name="settings.toml")
        found.append(Gateway("tensorzero", start, "/openai/v1/chat/completions", "tensorzero::model_name::"))
    return found
