"""Under which class, and in which module, Keras files keep each function of ops.

A functional model that applies functions to placeholders saves each call as an
"Operation": a class whose config holds the settings (axis, keepdims, ...), called on
the tensors. A line here is: class, function, names of the function's arguments that
are settings (going on behind a +); the other arguments are those of the call, in the
function's order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ALIASES", "BY_CLASS", "BY_FUNCTION", "OperationKind"]

_TABLE = {
    "core": """
        AssociativeScan associative_scan reverse axis
        Cast cast dtype
        Cond cond
        ConvertToTensor convert_to_tensor dtype sparse ragged
        ForiLoop fori_loop lower upper body_fun
        Map map
        SaturateCast saturate_cast dtype
        Scan scan length reverse unroll
        Scatter scatter shape
        ScatterUpdate scatter_update reduction
        Slice slice shape
        SliceUpdate slice_update
        StopGradient stop_gradient
        Unstack unstack num axis
        VectorizedMap vectorized_map function
        WhileLoop while_loop cond body maximum_iterations
    """,
    "numpy": """
        Absolute absolute
        Add add
        All all axis keepdims
        AllClose allclose rtol atol equal_nan
        Amax amax axis keepdims
        Amin amin axis keepdims
        Angle angle
        Any any axis keepdims
        Append append axis
        Arccos arccos
        Arccosh arccosh
        Arcsin arcsin
        Arcsinh arcsinh
        Arctan arctan
        Arctan2 arctan2
        Arctanh arctanh
        Argmax argmax axis keepdims
        Argmin argmin axis keepdims
        Argpartition argpartition kth axis
        Argsort argsort axis
        Array array dtype
        ArraySplit array_split indices_or_sections axis
        Average average axis
        Bincount bincount weights minlength sparse
        BitwiseAnd bitwise_and
        BitwiseInvert bitwise_invert
        BitwiseLeftShift bitwise_left_shift
        BitwiseNot bitwise_not
        BitwiseOr bitwise_or
        BitwiseRightShift bitwise_right_shift
        BitwiseXor bitwise_xor
        BroadcastTo broadcast_to shape
        Cbrt cbrt
        Ceil ceil
        Clip clip x_min x_max
        Concatenate concatenate axis
        Conjugate conjugate
        Copy copy
        Corrcoef corrcoef
        Correlate correlate mode
        Cos cos
        Cosh cosh
        CountNonzero count_nonzero axis
        Cross cross axisa axisb axisc axis
        Cumprod cumprod axis dtype
        Cumsum cumsum axis dtype
        Deg2rad deg2rad
        Diag diag k
        Diagflat diagflat k
        Diagonal diagonal offset axis1 axis2
        Diff diff n axis
        Digitize digitize
        Divide divide
        DivideNoNan divide_no_nan
        Dot dot
        Dsplit dsplit indices_or_sections
        Dstack dstack
        Einsum einsum subscripts
        EmptyLike empty_like dtype
        Equal equal
        Exp exp
        Exp2 exp2
        ExpandDims expand_dims axis
        Expm1 expm1
        Fabs fabs
        Flip flip axis
        Fliplr fliplr
        Flipud flipud
        Floor floor
        FloorDivide floor_divide
        Fmax fmax
        Fmin fmin
        Fmod fmod
        FullLike full_like dtype
        Gcd gcd
        GetItem get_item
        Greater greater
        GreaterEqual greater_equal
        Heaviside heaviside
        Histogram histogram bins range
        Hsplit hsplit indices_or_sections
        Hstack hstack
        Hypot hypot
        I0 i0
        Imag imag
        Inner inner
        Isclose isclose equal_nan
        Isfinite isfinite
        IsIn isin assume_unique invert
        Isinf isinf
        Isnan isnan
        Isneginf isneginf
        Isposinf isposinf
        Isreal isreal
        Kron kron
        Lcm lcm
        Ldexp ldexp
        LeftShift left_shift
        Less less
        LessEqual less_equal
        Log log
        Log10 log10
        Log1p log1p
        Log2 log2
        Logaddexp logaddexp
        Logaddexp2 logaddexp2
        LogicalAnd logical_and
        LogicalNot logical_not
        LogicalOr logical_or
        LogicalXor logical_xor
        Matmul matmul
        Max max axis keepdims initial
        Maximum maximum
        Mean mean axis keepdims
        Median median axis keepdims
        Meshgrid meshgrid indexing
        Min min axis keepdims initial
        Minimum minimum
        Mod mod
        Moveaxis moveaxis source destination
        Multiply multiply
        Nanargmax nanargmax axis keepdims
        Nanargmin nanargmin axis keepdims
        Nancumprod nancumprod axis dtype
        Nancumsum nancumsum axis dtype
        Nanmax nanmax axis keepdims
        Nanmean nanmean axis keepdims
        Nanmedian nanmedian axis keepdims
        Nanmin nanmin axis keepdims
        Nanpercentile nanpercentile axis method keepdims
        Nanprod nanprod axis keepdims
        Nanquantile nanquantile axis method keepdims
        Nanstd nanstd axis keepdims
        Nansum nansum axis keepdims
        NanToNum nan_to_num nan posinf neginf
        Nanvar nanvar axis keepdims
        Negative negative
        Nextafter nextafter
        NotEqual not_equal
        OnesLike ones_like dtype
        Outer outer
        Pad pad pad_width mode
        Percentile percentile axis method keepdims
        Power power
        Prod prod axis keepdims dtype
        Ptp ptp axis keepdims
        Quantile quantile axis method keepdims
        Rad2deg rad2deg
        Ravel ravel
        Real real
        Reciprocal reciprocal
        Repeat repeat repeats axis
        Reshape reshape newshape
        RightShift right_shift
        Roll roll shift axis
        Rot90 rot90 k axes
        Round round decimals
        SearchSorted searchsorted side
        Select select
        Sign sign
        Signbit signbit
        Sin sin
        Sinc sinc
        Sinh sinh
        Size size
        Slogdet slogdet
        Sort sort axis
        Split split indices_or_sections axis
        Sqrt sqrt
        Square square
        Squeeze squeeze axis
        Stack stack axis
        Std std axis keepdims
        Subtract subtract
        Sum sum axis keepdims
        Swapaxes swapaxes axis1 axis2
        Take take axis
        TakeAlongAxis take_along_axis axis
        Tan tan
        Tanh tanh
        Tensordot tensordot axes
        Tile tile repeats
        Trace trace offset axis1 axis2
        Transpose transpose axes
        Trapezoid trapezoid x dx axis
        Tril tril k
        Triu triu k
        TrueDivide true_divide
        Trunc trunc
        UnravelIndex unravel_index shape
        Vander vander N increasing
        Var var axis keepdims
        Vdot vdot
        Vsplit vsplit indices_or_sections
        Vstack vstack
        Where where
        ZerosLike zeros_like dtype
    """,
    "nn": """
        AdaptiveAveragePool adaptive_average_pool output_size data_format
        AdaptiveMaxPool adaptive_max_pool output_size data_format
        AveragePool average_pool pool_size strides padding data_format
        BatchNorm batch_normalization axis epsilon
        BinaryCrossentropy binary_crossentropy from_logits
        CategoricalCrossentropy categorical_crossentropy from_logits axis
        Celu celu alpha
        Conv conv strides padding data_format dilation_rate
        ConvTranspose conv_transpose strides padding output_padding data_format
            + dilation_rate
        CTCDecode ctc_decode strategy beam_width top_paths merge_repeated
            + mask_index
        CTCLoss ctc_loss mask_index
        DepthToSpace depth_to_space block_size data_format
        DepthwiseConv depthwise_conv strides padding data_format dilation_rate
        DotProductAttention dot_product_attention is_causal flash_attention
            + attn_logits_soft_cap
        Elu elu alpha
        Fold fold output_size kernel_size dilation padding stride
        Gelu gelu approximate
        Glu glu axis
        HardShrink hard_shrink threshold
        HardSigmoid hard_sigmoid
        HardSilu hard_silu
        HardTanh hard_tanh
        LayerNorm layer_normalization axis epsilon rms_scaling
        LeakyRelu leaky_relu negative_slope
        LogSigmoid log_sigmoid
        LogSoftmax log_softmax axis
        MaxPool max_pool pool_size strides padding data_format
        Moments moments axes keepdims synchronized
        MultiHot multi_hot num_classes axis dtype sparse
        Normalize normalize axis order epsilon
        OneHot one_hot num_classes axis dtype sparse
        PSNR psnr max_val
        Relu relu
        Relu6 relu6
        RMSNorm rms_normalization axis epsilon
        Selu selu
        SeparableConv separable_conv strides padding data_format dilation_rate
        Sigmoid sigmoid
        Silu silu
        Softmax softmax axis
        Softplus softplus
        SoftShrink soft_shrink threshold
        Softsign softsign
        SpaceToDepth space_to_depth block_size data_format
        SparseCategoricalCrossentropy sparse_categorical_crossentropy from_logits axis
        Sparsemax sparsemax axis
        SparsePlus sparse_plus
        SparseSigmoid sparse_sigmoid
        Squareplus squareplus b
        TanhShrink tanh_shrink
        Threshold threshold threshold default_value
        Unfold unfold kernel_size dilation padding stride
    """,
    "math": """
        CDist cdist
        Erf erf
        Erfc erfc
        Erfinv erfinv
        ExtractSequences extract_sequences sequence_length sequence_stride
        FFT fft
        FFT2 fft2
        IFFT2 ifft2
        InTopK in_top_k k
        IRFFT irfft fft_length
        ISTFT istft sequence_length sequence_stride fft_length length window
            + center
        Logdet logdet
        Logsumexp logsumexp axis keepdims
        RFFT rfft fft_length
        Rsqrt rsqrt
        SegmentMax segment_max num_segments sorted
        SegmentMin segment_min num_segments sorted
        SegmentProd segment_prod num_segments sorted
        SegmentSum segment_sum num_segments sorted
        STFT stft sequence_length sequence_stride fft_length window center
        TopK top_k k sorted
    """,
    "linalg": """
        Cholesky cholesky upper
        CholeskyInverse cholesky_inverse upper
        Det det
        Inv inv
        Norm norm ord axis keepdims
        Solve solve
        SolveTriangular solve_triangular lower
    """,
    "einops": """
        Rearrange rearrange
    """,
    "image": """
        AffineTransform affine_transform interpolation fill_mode fill_value data_format
        CropImages crop_images top_cropping left_cropping bottom_cropping
            + right_cropping target_height target_width data_format
        ElasticTransform elastic_transform alpha sigma interpolation fill_mode
            + fill_value seed data_format
        ExtractPatches extract_patches size strides dilation_rate padding data_format
        GaussianBlur gaussian_blur kernel_size sigma data_format
        HSVToRGB hsv_to_rgb data_format
        MapCoordinates map_coordinates order fill_mode fill_value
        PadImages pad_images top_padding left_padding bottom_padding right_padding
            + target_height target_width data_format
        PerspectiveTransform perspective_transform interpolation fill_value data_format
        RGBToGrayscale rgb_to_grayscale data_format
        RGBToHSV rgb_to_hsv data_format
        Resize resize size interpolation antialias crop_to_aspect_ratio
            + pad_to_aspect_ratio fill_mode fill_value data_format
        SSIM ssim max_val filter_size filter_sigma k1 k2 data_format
        ScaleAndTranslate scale_and_translate spatial_dims method antialias
        SobelEdges sobel_edges data_format
    """,
}

# functions that Keras passes on to another one
ALIASES = {
    "abs": "absolute",
    "conj": "conjugate",
    "hard_swish": "hard_silu",
    "swish": "silu",
}


@dataclass(frozen=True)
class OperationKind:
    """One line of the table.

    Attributes:
        module: Keras's module, such as "keras.src.ops.numpy".
        class_name: Keras's class, such as "Sum".
        function: name in `lamella.ops`, such as "sum".
        settings: the arguments of the function that the config holds.
    """

    module: str
    class_name: str
    function: str
    settings: tuple[str, ...]


BY_FUNCTION: dict[str, OperationKind] = {}
BY_CLASS: dict[tuple[str, str], OperationKind] = {}

for _place, _lines in _TABLE.items():
    for _line in re.sub(r"\n *\+", "", _lines).strip().splitlines():
        _class, _function, *_settings = _line.split()
        _kind = OperationKind(
            f"keras.src.ops.{_place}", _class, _function, tuple(_settings)
        )
        BY_FUNCTION[_function] = _kind
        BY_CLASS[_place, _class] = _kind
