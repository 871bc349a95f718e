// Symbol visibility of the core library.
#pragma once

#if defined(_WIN32) && !defined(LAMELLA_STATIC)
#if defined(LAMELLA_BUILDING)
#define LAMELLA_API __declspec(dllexport)
#else
#define LAMELLA_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define LAMELLA_API __attribute__((visibility("default")))
#else
#define LAMELLA_API
#endif
