# SPDX-License-Identifier: Apache-2.0
"""The operators MoE and QMoE of ONNX Runtime on its CPU provider, behind the router's product; see peers.py."""
import ctypes

from peers import NotAvailable

BLOCK = 32  # weights that share a scale


class Onnx:
    """f32, or int8 and int4 with a scale for every 32 weights; gate and up interleaved, as the operators want them."""

    def __init__(self, layer, _name, form, _path):
        try:
            import numpy
            import onnx
            import onnxruntime
        except ImportError as missing:
            raise NotAvailable(missing) from missing
        self.numpy, self.onnx, self.runtime = numpy, onnx, onnxruntime
        self.layer, self.bits = layer, {"f32": None, "int8": 8, "int4": 4}[form]
        if self.bits and (layer.features % BLOCK or layer.hidden % BLOCK):
            raise NotAvailable(f"wants sizes that are multiples of {BLOCK}")
        experts, features, hidden = layer.experts, layer.features, layer.hidden
        self.weights = {"router": self.matrix(layer.router(), features).T.copy()}
        for name, rows, columns in (("fc1", 2 * hidden, features), ("fc2", features, hidden)):
            packed = columns * self.bits // 8 if self.bits else columns
            self.weights[name] = numpy.zeros((experts, rows, packed), numpy.uint8 if self.bits else numpy.float32)
            if self.bits:
                self.weights[name + "_scales"] = numpy.zeros((experts, rows, columns // BLOCK), numpy.float32)
        layer.give_experts(self.take, exactly=not self.bits)
        self.bytes_of_expert = sum(w[0].nbytes for name, w in self.weights.items() if name != "router")

    def matrix(self, values, columns):
        return self.numpy.frombuffer(values, self.numpy.float32).reshape(-1, columns)

    def take(self, e, gate, up, down):
        features, hidden = self.layer.features, self.layer.hidden
        gate_up = self.numpy.stack([self.matrix(gate, features), self.matrix(up, features)], axis=1)
        held = self.keep("fc1", e, gate_up.reshape(2 * hidden, features)).reshape(hidden, 2, features)
        held_down = self.keep("fc2", e, self.matrix(down, hidden))
        for to, values in ((gate, held[:, 0]), (up, held[:, 1]), (down, held_down)):
            self.matrix(to, values.shape[1])[:] = values

    def keep(self, name, e, values):
        """Stores one expert's matrix; returns what is kept of it."""
        numpy = self.numpy
        if not self.bits:
            self.weights[name][e] = values
            return values
        zero = 1 << (self.bits - 1)
        blocks = values.reshape(len(values), -1, BLOCK)
        scale = numpy.maximum(numpy.abs(blocks).max(axis=2, keepdims=True), 1e-30) / (zero - 1)
        codes = numpy.rint(blocks / scale).astype(numpy.int8)
        self.weights[name + "_scales"][e] = scale[:, :, 0]
        stored = (codes + numpy.int16(zero)).astype(numpy.uint8).reshape(len(values), -1)
        self.weights[name][e] = stored if self.bits == 8 else stored[:, 0::2] | stored[:, 1::2] << 4
        return (codes * scale).astype(numpy.float32).reshape(values.shape)

    def model(self):
        """Its initializers are elsewhere: a file of this format holds at most 2 GiB."""
        helper, proto = self.onnx.helper, self.onnx.TensorProto
        if self.bits:
            inputs = ["x", "logits", "fc1", "fc1_scales", "", "fc2", "fc2_scales"]
            kind, more = "QMoE", {"expert_weight_bits": self.bits, "block_size": BLOCK}
        else:
            inputs, kind, more = ["x", "logits", "fc1", "", "fc2"], "MoE", {}
        nodes = [helper.make_node("MatMul", ["x", "router"], ["logits"]),
                 helper.make_node(kind, inputs, ["y"], domain="com.microsoft", k=self.layer.per_token,
                                  activation_type="swiglu", swiglu_fusion=1, activation_alpha=1.0, activation_beta=0.0,
                                  normalize_routing_weights=1, **more)]
        outside = []
        for name, w in self.weights.items():
            place = proto(name=name, dims=w.shape, data_location=proto.EXTERNAL,
                          data_type=helper.np_dtype_to_tensor_dtype(w.dtype))
            place.external_data.add(key="location", value="memory")
            outside.append(place)
        ends = [[helper.make_tensor_value_info(name, proto.FLOAT, ["tokens", self.layer.features])] for name in "xy"]
        graph = helper.make_graph(nodes, "layer", *ends, initializer=outside)
        versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=9).SerializeToString()

    def set_threads(self, threads):
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = threads
        values = [self.runtime.OrtValue.ortvalue_from_numpy(w) for w in self.weights.values()]
        options.add_external_initializers(list(self.weights), values)
        try:
            self.session = self.runtime.InferenceSession(self.model(), options, providers=["CPUExecutionProvider"])
        except Exception as refused:  # its own classes derive from Exception alone
            raise NotAvailable(f"onnxruntime {self.runtime.__version__}: {refused}") from refused

    def prepare(self, x, _tokens):
        return {"x": self.matrix(x, self.layer.features)}

    def forward(self, x, _tokens):
        try:
            self.result, = self.session.run(["y"], x)
        except self.runtime.capi.onnxruntime_pybind11_state.OnnxRuntimeException as refused:
            raise NotAvailable(f"onnxruntime {self.runtime.__version__}: {refused}") from refused

    def fetch(self, y):
        ctypes.memmove(y, self.result.ctypes.data, ctypes.sizeof(y))
