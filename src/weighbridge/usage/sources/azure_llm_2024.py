"""The Azure LLM inference trace of 2024: the columns of 2023's, a week long, with a zone.

Described in `AzureLLMInferenceDataset2024.md` of Azure/AzurePublicDataset; instants as its notebook
prints them: `2024-05-10 00:00:00.009930+00:00`.
"""

from __future__ import annotations

from dataclasses import replace

from weighbridge.usage.sources.azure_llm_2023 import AZURE_LLM_2023
from weighbridge.usage.sources.source import Signature

AZURE_LLM_2024 = replace(
    AZURE_LLM_2023,
    name="azure-llm-2024",
    title="Azure LLM inference trace 2024 (CSV)",
    naive_timezone=None,
    naive_timezone_reason="",
    signature=Signature(
        ("TIMESTAMP", "ContextTokens", "GeneratedTokens"), begins={"TIMESTAMP": "2024-"}
    ),
)
