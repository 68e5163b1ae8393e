/* SPDX-License-Identifier: Apache-2.0 */
/* Partition type GUIDs. Sources: UEFI 2.10, [MS-GPT], the UAPI discoverable partitions list. */
#include <string.h>

#include "formats/part/gpt.h"

static const struct {
	const char *guid, *name;
} types[] = {
	{"c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"},
	{"e3c9e316-0b5c-4db8-817d-f92df00215ae", "Microsoft reserved"},
	{"ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "Microsoft basic data"},
	{"de94bba4-06d1-4d40-a16a-bfd50179d6ac", "Windows recovery"},
	{"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3", "Windows LDM metadata"},
	{"af9b60a0-1431-4f62-bc68-3311714a69ad", "Windows LDM data"},
	{"e75caf8f-f680-4cee-afa3-b001e56efc2d", "Windows storage spaces"},
	{"558d43c5-a1ac-43c0-aac8-d1472b2923d1", "Windows storage replica"},
	{"0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux filesystem"},
	{"a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"},
	{"0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"},
	{"e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"},
	{"8da63339-0007-60c0-c436-083ac8230908", "Linux reserved"},
	{"933ac7e1-2eb4-4f13-b844-0e14e2aef915", "Linux home"},
	{"3b8f8425-20e0-4f3b-907f-1a25a76f98e8", "Linux server data"},
	{"4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "Linux root (x86-64)"},
	{"44479540-f297-41b2-9af7-d131d5f0458a", "Linux root (x86)"},
	{"b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root (arm64)"},
	{"2c7357ed-ebd2-46d9-aec1-23d437ec2bf5", "Linux root verity (x86-64)"},
	{"8484680c-9521-48c6-9c11-b0720656f69e", "Linux /usr (x86-64)"},
	{"77ff5f63-e7b6-4633-acf4-1565b864c0e6", "Linux /usr verity (x86-64)"},
	{"bc13c2ff-59e6-4262-a352-b275fd6f7172", "Linux extended boot"},
	{"4d21b016-b534-45c2-a9fb-5c16e091fd2d", "Linux /var"},
	{"7ec6f557-3bc5-4aca-b293-16ef5df639d1", "Linux /var/tmp"},
	{"773f91ef-66d4-49b5-bd83-d683bf40ad16", "Linux user home"},
	{"ca7d7ccb-63ed-4c53-861c-1742536059cc", "LUKS"},
	{"7ffec5c9-2d00-49b7-8941-3ea10a5586b7", "dm-crypt"},
	{"21686148-6449-6e6f-744e-656564454649", "BIOS boot"},
	{"024dee41-33e7-11d3-9d69-0008c781f39f", "MBR partition scheme"},
	{"d3bfe2de-3daf-11df-ba40-e3a556d89593", "Intel Fast Flash"},
	{"9e1a2d38-c612-4316-aa26-8b49521e5a8b", "PReP boot"},
	{"48465300-0000-11aa-aa11-00306543ecac", "Apple HFS+"},
	{"7c3457ef-0000-11aa-aa11-00306543ecac", "Apple APFS"},
	{"55465300-0000-11aa-aa11-00306543ecac", "Apple UFS"},
	{"52414944-0000-11aa-aa11-00306543ecac", "Apple RAID"},
	{"426f6f74-0000-11aa-aa11-00306543ecac", "Apple boot"},
	{"83bd6b9d-7f41-11dc-be0b-001560b84f0f", "FreeBSD boot"},
	{"516e7cb4-6ecf-11d6-8ff8-00022d09712b", "FreeBSD data"},
	{"516e7cb5-6ecf-11d6-8ff8-00022d09712b", "FreeBSD swap"},
	{"516e7cb6-6ecf-11d6-8ff8-00022d09712b", "FreeBSD UFS"},
	{"516e7cba-6ecf-11d6-8ff8-00022d09712b", "FreeBSD ZFS"},
	{"6a898cc3-1dd2-11b2-99a6-080020736631", "Solaris /usr or ZFS"},
	{"aa31e02a-400f-11db-9590-000c2911d1b8", "VMware VMFS"},
	{"9d275380-40ad-11db-bf97-000c2911d1b8", "VMware diagnostic"},
	{"9198effc-31c0-11db-8f78-000c2911d1b8", "VMware reserved"},
	{"45b0969e-9b03-4f30-b4c6-b4b80ceff106", "Ceph journal"},
	{"4fbd7e29-9d25-41b8-afd0-062c0ceff05d", "Ceph OSD"},
	{"fe3a2a5d-4f32-41a7-b725-accc3285a309", "ChromeOS kernel"},
	{"3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec", "ChromeOS root"},
};

const char *gpt_type(const char *guid)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i].guid, guid))
			return types[i].name;
	return NULL;
}
