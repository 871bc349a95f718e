// Everything, for programs that use lamella. Library code includes the single headers.
#pragma once

#include "lamella/autograd.h"
#include "lamella/dtype.h"
#include "lamella/error.h"
#include "lamella/graph.h"
#include "lamella/io.h"
#include "lamella/nn.h"
#include "lamella/ops.h"
#include "lamella/optim.h"
#include "lamella/profile.h"
#include "lamella/program.h"
#include "lamella/runtime.h"
#include "lamella/shape.h"
#include "lamella/tensor.h"
#include "lamella/version.h"
