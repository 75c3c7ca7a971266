// Package runtime is what the generated bindings need of memory: where the host's arguments go, and where answers stay.
package runtime

import (
	"runtime"
	"unsafe"
)

// What the host has allocated for the arguments of the call at hand, until the bindings have read it.
var arguments runtime.Pinner

// Unpin lets the collector have the arguments once nobody looks at them.
func Unpin() { arguments.Unpin() }

// Allocate gives memory that stays where it is until the pinner lets go.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	pointer := allocate(size, align)
	pinner.Pin(pointer)
	return pointer
}

// The element's size is what the collector aligns to. No pointers are kept in this memory.
func allocate(size, align uintptr) unsafe.Pointer {
	switch align {
	case 1:
		return unsafe.Pointer(unsafe.SliceData(make([]uint8, size)))
	case 2:
		return unsafe.Pointer(unsafe.SliceData(make([]uint16, (size+1)/2)))
	case 4:
		return unsafe.Pointer(unsafe.SliceData(make([]uint32, (size+3)/4)))
	default:
		return unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	}
}

// The host calls this for each argument that lies in memory. It may make the collector run, which is allowed: the
// collector asks nobody outside, since the clock it reads is inside the component.
//
//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if oldSize == 0 {
		return Allocate(&arguments, size, align)
	}
	fresh := Allocate(&arguments, size, align)
	copy(unsafe.Slice((*byte)(fresh), size), unsafe.Slice((*byte)(old), min(oldSize, size)))
	return fresh
}
