"""The review page: the emitted source beside what it was translated from and how it was verified, as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from translator.verification import Verification, number

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ report.emitted.root }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }
h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; }
td, th { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
code, td.number, .highlight { font: 13px/1.45 ui-monospace, monospace; }
.highlight { overflow-x: auto; background: #fafafa; padding: .5rem; }
.good { color: #1a7f37; } .bad { color: #b42318; }
{{ style }}
</style>
</head>
<body>
<h1>{{ report.emitted.root }}</h1>
<p>Translated from <code>{{ report.module }}</code>: {{ report.emitted.lines }} lines, {{ report.emitted.classes | length }} classes.</p>

<h2>Verification</h2>
{% if verification is none %}<p class="bad">Not verified.</p>
{% else %}<p class="{{ 'good' if verification.ok else 'bad' }}">{{ verification.summary }}</p>
{% if verification.culprit %}<p class="bad">The first module to diverge is <code>{{ verification.culprit.path or "the root" }}</code>
({{ verification.culprit.class_name }}).</p>{% endif %}
<table>
<tr><th>input</th><th>output</th><th>shape</th><th>dtype</th><th>torch</th><th>emitted</th><th>emitted float64</th><th></th></tr>
{% for row in verification.outputs %}<tr><td>{{ row.case }}</td><td><code>{{ row.name }}</code></td>
<td>{{ row.shape | list }}</td><td>{{ row.dtype }}</td><td class="number">{{ number(row.torch_error) }}</td>
<td class="number">{{ number(row.emitted_error) }}</td><td class="number">{{ number(row.float64_error) }}</td>
<td class="{{ 'good' if row.ok else 'bad' }}">{{ "ok" if row.ok else row.reason }}</td></tr>
{% endfor %}</table>
<p>Errors are distances from torch in float64, as shares of the output's greatest magnitude.</p>
{% endif %}

{% if notes %}<h2>Notes</h2>
<ul>
{% for note in notes %}<li>{{ note }}</li>
{% endfor %}</ul>
{% endif %}

<h2>Inputs</h2>
<table>
<tr><th>argument</th><th>dtype</th><th>shape</th><th>dynamic axes</th></tr>
{% for row in report.inputs %}<tr><td><code>{{ row.path }}</code></td><td>{{ row.dtype }}</td><td>{{ row.shape }}</td>
<td>{{ row.dynamic }}</td></tr>
{% endfor %}</table>

<h2>Source</h2>
{{ source }}

<h2>Modules</h2>
<table>
<tr><th>path in torch</th><th>emitted class</th></tr>
{% for path, name in report.modules.items() %}<tr><td><code>{{ path or "(root)" }}</code></td><td><code>{{ name }}</code></td></tr>
{% endfor %}</table>

<h2>Ops</h2>
<table>
{% for op, count in report.ops.items() %}<tr><td><code>{{ op }}</code></td><td>{{ count }}</td></tr>
{% endfor %}</table>
</body>
</html>
"""


def page(source: str, report: Mapping[str, Any], verification: Verification | None) -> str:
    """One HTML page that needs nothing else. All that comes from the user's module is escaped."""
    formatter = HtmlFormatter(linenos="inline")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    notes = [*report["notes"], *(verification.notes if verification is not None else ())]
    return environment.from_string(_PAGE).render(
        report=report,
        verification=verification,
        notes=notes,
        number=number,
        style=Markup(formatter.get_style_defs(".highlight")),
        source=Markup(highlight(source, PythonLexer(), formatter)),
    )
