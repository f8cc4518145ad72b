"""Which class transformers' ``AutoTokenizer`` picks for a folder, of those that are followed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farthing.errors import ModelError
from farthing.models.tokenizer_classes import AS_WRITTEN, CLASSES

__all__ = ["ALIASES", "NOT_FOLLOWED", "TYPES", "class_name"]

ALIASES: Mapping[str, str] = {
    "BartTokenizer": "RobertaTokenizer",
    "ElectraTokenizer": "BertTokenizer",
    "LEDTokenizer": "RobertaTokenizer",
    "LayoutLMTokenizer": "BertTokenizer",
    "LongformerTokenizer": "RobertaTokenizer",
    "LxmertTokenizer": "BertTokenizer",
    "MobileBertTokenizer": "BertTokenizer",
    "MvpTokenizer": "RobertaTokenizer",
    "SqueezeBertTokenizer": "BertTokenizer",
}
"""Other names of classes."""


def _words(text: str) -> list[str]:
    return text.split()


NOT_FOLLOWED = frozenset(
    f"{name}Tokenizer"
    for name in _words(
        "Barthez Bartpho BertGeneration BertJapanese Bertweet BigBird BioGpt Blenderbot BlenderbotSmall ByT5 CLIP "
        "CTRL Canine Clvp CodeGen CodeLlama Cohere ConvBert Cpm CpmAnt DPRContextEncoder DPRQuestionEncoder "
        "DPRReader Dia Esm Esmc FNet FSMT FastSpeech2Conformer Flaubert Funnel GPT2 GPTNeoX GPTNeoXJapanese GPTSw3 "
        "Gemma Herbert Lasr LayoutLMv2 LayoutLMv3 LayoutXLM Llama Luke M2M100 MBart MBart50 MLuke Marian MarkupLM "
        "Mgpstr MyT5 Nllb Nougat OpenAIGPT PLBart Parakeet Pegasus Perceiver Phi3 Phobert Pop2Piano ProphetNet "
        "Qwen2 Qwen3_5 Rag Reformer RemBert RoCBert RoFormer SeamlessM4T Siglip Siglip2 Speech2Text SpeechT5 "
        "Splinter Tapas Tipsv2 Udop VideoPrism Vits Wav2Vec2CTC Wav2Vec2PhonemeCTC Whisper XGLM XLM XLNet"
    )
)
"""Classes that make a tokenizer in a way that is not followed; a name that nobody knows takes the file as it stands."""
_OTHER = "another class"
TYPES: Mapping[str, str] = {
    model_type: name
    for name, types in {
        "AlbertTokenizer": "albert yoso",
        "BertTokenizer": "align bark bert blip bros chinese_clip convbert distilbert electra ernie flava git "
        "grounding-dino layoutlm lxmert megatron-bert mm-grounding-dino mobilebert nezha nomic_bert "
        "qdqbert realm retribert squeezebert tvp vilt visual_bert",
        "CamembertTokenizer": "camembert",
        "DebertaTokenizer": "deberta",
        "DebertaV2Tokenizer": "deberta-v2",
        "MPNetTokenizer": "mpnet",
        "RobertaTokenizer": "bart bridgetower clap data2vec-text florence2 ibert led lilt longformer mega mra mvp "
        "roberta roberta-prelayernorm",
        "T5Tokenizer": "mt5 musicgen musicgen_melody switch_transformers t5",
        "XLMRobertaTokenizer": "gte jina_embeddings_v3 metaclip_2 trocr xlm-roberta xmod",
        AS_WRITTEN: "EvollaModel arctic aria beam bigbird_pegasus camembertv2-base canary chatlm cohere_asr ernie4_5 "
        "ernie4_5_moe flex_olmo fuyu glm glm4 glm4_moe glm4_moe_lite glm4v glm4v_moe glm_image glmasr "
        "got_ocr2 gpt_bigcode gradium_phonon_tts granite granitemoe granitemoehybrid granitemoeshared "
        "h2ovl_chat hyperclovax hyperclovax_vlm internlm2 internlm3 iquestcoder jamba kimi_k25 "
        "kimi_linear kosmos-2 llava llava_next mimo_v2_flash minicpm3 minicpm_ocr minicpmv minicpmv4_6 "
        "minicpmv4_7 minimax_m2 ministral ministral3 mistral mistral3 mistral_large4 mixtral modernbert "
        "modernbert-decoder molmo molmo2 nemo_speechlm nemotron nvfp4 nystromformer olmo2 olmo3 "
        "olmo_hybrid omniasr opencua openvla paddleocr_vl pegasus_x persimmon phi3 phi3_v phimoe "
        "pix2struct pixtral pocket_tts smolvlm stablelm step3_vl umt5 vipllava voxtral voxtral_realtime "
        "xlm-roberta-xl",
        _OTHER: "aimv2 audioflamingo3 aya_vision barthez bartpho bert-generation bert-japanese bertweet big_bird "
        "biogpt blenderbot blenderbot-small blip-2 byt5 canine clip clipseg clvp code_llama codegen "
        "cohere cohere2 colqwen2 cosmos3_omni cpm cpmant ctrl data2vec-audio dbrx dia diffusion_gemma "
        "dots3_note dpr emu3 esm esmc esmfold2 falcon_mamba fastspeech2_conformer flaubert fnet fsmt "
        "fun_asr_nano funnel gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text gpt-sw3 gpt2 gpt_neo "
        "gpt_neox gpt_neox_japanese gptj granite_speech5_ctc groupvit herbert hubert hunyuan_vl "
        "hyperclovax_vision_v2 idefics idefics2 instructblip instructblipvideo internvl jais2 lasr_ctc "
        "lasr_encoder layoutlmv2 layoutlmv3 layoutxlm lighton_ocr luke m2m_100 mamba mamba2 marian "
        "markuplm mbart mbart50 mgp-str mluke moss_transcribe_diarize mpt myt5 nemotron3_5_asr "
        "nemotron_asr_streaming nllb nllb-moe nougat olmo olmoe omdet-turbo omniasr_ctc oneformer "
        "openai-gpt opt ovis2 owlv2 owlvit parakeet_ctc parakeet_rnnt parakeet_tdt pegasus perceiver phi "
        "phobert plbart pp_formulanet prophetnet qianfan_ocr qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio "
        "qwen2_moe qwen2_vl qwen3 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_asr qwen3_moe "
        "qwen3_next qwen3_omni_moe qwen3_vl qwen3_vl_moe qwen4_exp rag recurrent_gemma reformer rembert "
        "roc_bert roformer rwkv sam3 sam3_video seamless_m4t seamless_m4t_v2 shieldgemma2 siglip siglip2 "
        "speech_to_text speecht5 splinter starcoder2 t5gemma tapas tipsv2 udop unispeech unispeech-sat "
        "vibevoice videoprism vits wav2vec2 wav2vec2-bert wav2vec2-conformer wav2vec2_phoneme whisper "
        "xclip xglm xlm xlnet xlstm zaya",
    }.items()
    for model_type in types.split()
}
"""Class of a model type; a type that is not here takes tokenizer.json as it stands."""
_OVERRULED = frozenset(_words("hyperclovax_vision_v2 qwen2 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen4_exp siglip2"))
"""Model types whose files are known to name a wrong class: the type decides."""
_PLAIN = frozenset(("PreTrainedTokenizer", "PythonBackend", "TokenizersBackend"))


def class_name(settings: Mapping[str, Any], config: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Name of the class that reads a folder's ``tokenizer.json``.

    Args:
        settings: ``tokenizer_config.json``.
        config: ``config.json``.
        document: ``tokenizer.json``.

    Raises:
        ModelError: when that class is one that is not followed here.
    """
    named = settings.get("tokenizer_class") or config.get("tokenizer_class")
    said = None if named is None else str(named).removesuffix("Fast")
    of_type = TYPES.get(str(config.get("model_type")))
    if said == "LlamaTokenizer" and _is_byte_level(document):
        return AS_WRITTEN
    overruled = of_type == AS_WRITTEN or config.get("model_type") in _OVERRULED
    picked = of_type if said is None or overruled else said
    picked = ALIASES.get(picked, picked) if picked is not None else AS_WRITTEN
    if picked in _PLAIN or picked == AS_WRITTEN or (picked not in CLASSES and picked not in (*NOT_FOLLOWED, _OTHER)):
        return AS_WRITTEN
    if picked in CLASSES:
        return picked
    by_class = said is not None and not overruled
    what = (
        f"tokenizer_config.json: tokenizer_class is {named!r}"
        if by_class
        else f"model_type is {config['model_type']!r}"
    )
    raise ModelError(
        f"{what}, whose tokenizer is none of those that can be followed ({', '.join(CLASSES)})",
        hint=f"tokenizer_class: {AS_WRITTEN} takes tokenizer.json as it stands, if the model was trained with that",
    )


def _is_byte_level(document: Mapping[str, Any]) -> bool:
    return "ByteLevel" in str(document.get("pre_tokenizer"))
