"""What transformers calls our parameters: replaced in order, family by family."""

LLAMA = {
    "embedding.": "model.embed_tokens.",
    "head.": "lm_head.",
    "decoder.final_norm.": "model.norm.",
    "decoder.blocks.": "model.layers.",
    ".attention.q.": ".self_attn.q_proj.",
    ".attention.k.": ".self_attn.k_proj.",
    ".attention.v.": ".self_attn.v_proj.",
    ".attention.o.": ".self_attn.o_proj.",
    ".attention.q_norm.": ".self_attn.q_norm.",
    ".attention.k_norm.": ".self_attn.k_norm.",
    ".ffn.gate.": ".mlp.gate_proj.",
    ".ffn.value.": ".mlp.up_proj.",
    ".ffn.up.": ".mlp.up_proj.",
    ".ffn.down.": ".mlp.down_proj.",
    ".residual.norms.attention.": ".input_layernorm.",
    ".residual.norms.shared.": ".input_layernorm.",
    ".residual.norms.ffn.": ".post_attention_layernorm.",
}
#: OLMo 2 has its norms after the sublayers, Gemma on both sides.
OLMO_2 = {
    **LLAMA,
    ".residual.norms.attention.": ".post_attention_layernorm.",
    ".residual.norms.ffn.": ".post_feedforward_layernorm.",
}
STABLELM = {
    **LLAMA,
    ".attention.q_norm.": ".self_attn.q_layernorm.",
    ".attention.k_norm.": ".self_attn.k_layernorm.",
}
GEMMA = {
    **LLAMA,
    ".residual.norms.ffn.": ".pre_feedforward_layernorm.",
    ".residual.output_norms.attention.": ".post_attention_layernorm.",
    ".residual.output_norms.ffn.": ".post_feedforward_layernorm.",
}
APERTUS = {
    **LLAMA,
    ".residual.norms.attention.": ".attention_layernorm.",
    ".residual.norms.ffn.": ".feedforward_layernorm.",
    ".ffn.activation.": ".mlp.act_fn.",
}
GPT2 = {
    "embedding.": "transformer.wte.",
    "head.": "lm_head.",
    "decoder.position.": "transformer.wpe.",
    "decoder.final_norm.": "transformer.ln_f.",
    "decoder.blocks.": "transformer.h.",
    ".attention.q.": ".attn.q_proj.",
    ".attention.k.": ".attn.k_proj.",
    ".attention.v.": ".attn.v_proj.",
    ".residual.norms.attention.": ".ln_1.",
    ".residual.norms.shared.": ".ln_1.",
    ".residual.norms.ffn.": ".ln_2.",
    ".attention.o.": ".attn.c_proj.",
    ".attention.c_attn.": ".attn.c_attn.",
    ".ffn.up.": ".mlp.c_fc.",
    ".ffn.down.": ".mlp.c_proj.",
}
GPTJ = {
    **GPT2,
    ".attention.o.": ".attn.out_proj.",
    ".ffn.up.": ".mlp.fc_in.",
    ".ffn.down.": ".mlp.fc_out.",
}
NEO = {
    **GPT2,
    **{f".attention.{each}.": f".attn.attention.{each}_proj." for each in "qkv"},
    ".attention.o.": ".attn.attention.out_proj.",
}
NEOX = {
    "embedding.": "gpt_neox.embed_in.",
    "head.": "lm_head.",
    "decoder.final_norm.": "gpt_neox.final_layer_norm.",
    "decoder.blocks.": "gpt_neox.layers.",
    ".attention.o.": ".attention.dense.",
    ".ffn.up.": ".mlp.dense_h_to_4h.",
    ".ffn.down.": ".mlp.dense_4h_to_h.",
    ".residual.norms.attention.": ".input_layernorm.",
    ".residual.norms.ffn.": ".post_attention_layernorm.",
}
BLOOM = {
    "embedding.": "transformer.word_embeddings.",
    "decoder.embedding_norm.": "transformer.word_embeddings_layernorm.",
    "decoder.final_norm.": "transformer.ln_f.",
    "decoder.blocks.": "transformer.h.",
    ".attention.o.": ".attention.dense.",
    ".attention.": ".self_attention.",
    ".ffn.up.": ".mlp.dense_h_to_4h.",
    ".ffn.down.": ".mlp.dense_4h_to_h.",
    ".residual.norms.self_attention.": ".input_layernorm.",
    ".residual.norms.ffn.": ".post_attention_layernorm.",
}
MPT = {
    "embedding.": "transformer.wte.",
    "decoder.final_norm.": "transformer.norm_f.",
    "decoder.blocks.": "transformer.blocks.",
    ".attention.o.": ".attn.out_proj.",
    ".attention.Wqkv.": ".attn.Wqkv.",
    ".ffn.up.": ".ffn.up_proj.",
    ".ffn.down.": ".ffn.down_proj.",
    ".residual.norms.attention.": ".norm_1.",
    ".residual.norms.ffn.": ".norm_2.",
}
OPT = {
    "embedding.": "model.decoder.embed_tokens.",
    "decoder.position.": "model.decoder.embed_positions.",
    "decoder.final_norm.": "model.decoder.final_layer_norm.",
    "decoder.blocks.": "model.decoder.layers.",
    ".attention.q.": ".self_attn.q_proj.",
    ".attention.k.": ".self_attn.k_proj.",
    ".attention.v.": ".self_attn.v_proj.",
    ".attention.o.": ".self_attn.out_proj.",
    ".ffn.up.": ".fc1.",
    ".ffn.down.": ".fc2.",
    ".residual.norms.attention.": ".self_attn_layer_norm.",
    ".residual.norms.ffn.": ".final_layer_norm.",
}
PHI = {
    **LLAMA,
    "decoder.final_norm.": "model.final_layernorm.",
    ".attention.o.": ".self_attn.dense.",
    ".ffn.up.": ".mlp.fc1.",
    ".ffn.down.": ".mlp.fc2.",
}
BERT = {
    "segment_embedding.": "embeddings.token_type_embeddings.",
    "embedding.": "embeddings.word_embeddings.",
    "encoder.position.": "embeddings.position_embeddings.",
    "encoder.embedding_norm.": "embeddings.LayerNorm.",
    "encoder.blocks.": "encoder.layer.",
    ".attention.q.": ".attention.self.query.",
    ".attention.k.": ".attention.self.key.",
    ".attention.v.": ".attention.self.value.",
    ".attention.o.": ".attention.output.dense.",
    ".ffn.up.": ".intermediate.dense.",
    ".ffn.down.": ".output.dense.",
    ".residual.norms.attention.": ".attention.output.LayerNorm.",
    ".residual.norms.ffn.": ".output.LayerNorm.",
}
#: With the head for masked tokens; what was the model is then a part of it.
BERT_MASKED = {
    **{ours: f"bert.{theirs}" if ours[0] != "." else theirs for ours, theirs in BERT.items()},
    "head.transform.dense.": "cls.predictions.transform.dense.",
    "head.transform.norm.": "cls.predictions.transform.LayerNorm.",
    "head.bias": "cls.predictions.bias",
}
ROBERTA_MASKED = {
    **{ours: f"roberta.{theirs}" if ours[0] != "." else theirs for ours, theirs in BERT.items()},
    "head.transform.dense.": "lm_head.dense.",
    "head.transform.norm.": "lm_head.layer_norm.",
    "head.bias": "lm_head.bias",
}
T5 = {
    "embedding.": "shared.",
    "head.": "lm_head.",
    ".position.": ".block.0.layer.0.SelfAttention.relative_attention_bias.",
    ".final_norm.": ".final_layer_norm.",
    ".DenseReluDense.up.": ".DenseReluDense.wi.",
    ".DenseReluDense.gate.": ".DenseReluDense.wi_0.",
    ".DenseReluDense.value.": ".DenseReluDense.wi_1.",
    ".DenseReluDense.down.": ".DenseReluDense.wo.",
}
BART = {
    "embedding.": "shared.",
    ".position.": ".embed_positions.",
    ".embedding_norm.": ".layernorm_embedding.",
    ".blocks.": ".layers.",
    ".residual.norms.attention.": ".self_attn_layer_norm.",
    ".residual.norms.cross_attention.": ".encoder_attn_layer_norm.",
    ".residual.norms.ffn.": ".final_layer_norm.",
    ".attention.": ".self_attn.",
    ".cross_attention.": ".encoder_attn.",
    **{f"attn.{each}.": f"attn.{each}_proj." for each in "qkv"},
    "attn.o.": "attn.out_proj.",
    ".ffn.up.": ".fc1.",
    ".ffn.down.": ".fc2.",
}
